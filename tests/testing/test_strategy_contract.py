"""`StrategyTestCase`: our strategies pass it, and each broken one is caught."""

import itertools
import unittest
from dataclasses import dataclass, replace

import pytest

from dux_agent import testing
from dux_graphs.proposals import OptimizerBrief
from dux_graphs.search.best_dry_run import BestDryRun
from dux_graphs.search.strategy import Request
from dux_graphs.search.successive_halving import SuccessiveHalving


class TestBestDryRun(testing.StrategyTestCase):
    def make(self):
        return BestDryRun(OptimizerBrief(), candidates=3)


class TestSuccessiveHalving(testing.StrategyTestCase):
    def make(self):
        return SuccessiveHalving(OptimizerBrief(), candidates=5)


class Silent(BestDryRun):
    def requests(self, observation, archive, tries_left):
        return [] if archive else super().requests(observation, archive, tries_left)


class OfTheClock(BestDryRun):
    ticks = itertools.count()

    def requests(self, observation, archive, tries_left):
        return [Request(f"it is {next(self.ticks)}")]


@dataclass(frozen=True)
class Forgetful(BestDryRun):
    calls = {}

    def __post_init__(self):
        object.__setattr__(self, "calls", {"asked": 0})

    def requests(self, observation, archive, tries_left):
        self.calls["asked"] += 1
        return [Request(f"I was asked {self.calls['asked']} times")]


class Orphan(BestDryRun):
    def requests(self, observation, archive, tries_left):
        return [
            replace(
                super().requests(observation, archive, tries_left)[0],
                parents=("0" * 64,),
            )
        ]


class Greedy(BestDryRun):
    def choose(self, passed):
        return dict(passed[0]) if passed else {"losses": []}


class Deaf(BestDryRun):
    def requests(self, observation, archive, tries_left):
        return [Request(self.brief.update(observation))]


BROKEN = [Silent, OfTheClock, Forgetful, Orphan, Greedy, Deaf]


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_strategy_is_caught(broken):
    class Tried(testing.StrategyTestCase):
        __test__ = False

        def make(self):
            return broken(OptimizerBrief())

    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(Tried).run(result)

    assert result.failures or result.errors
