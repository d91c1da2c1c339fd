"""`BriefTestCase`: our brief passes it, and each broken one is caught."""

import itertools
import unittest

import pytest

from dux_agent import testing
from dux_graphs.proposals import OptimizerBrief
from dux_prompts.reply import Proposal
from tests.sources import SGD

REPLY = f"```python\n{SGD}\n```"


class TestOptimizers(testing.BriefTestCase):
    good_replies = (REPLY,)

    def make(self):
        return OptimizerBrief()


class OfTheClock(OptimizerBrief):
    ticks = itertools.count()

    def update(self, observation):
        return f"it is {next(self.ticks)}"


class Silent(OptimizerBrief):
    def another(self, number, candidates):
        return ""


class Forgetful(OptimizerBrief):
    def repair(self, attempts, tries_left):
        return "try again"


class Fragile(OptimizerBrief):
    def read(self, reply):
        return Proposal(reply.split("```")[1])


class Deaf(OptimizerBrief):
    def read(self, reply):
        return super().read("")


@pytest.mark.parametrize("broken", [OfTheClock, Silent, Forgetful, Fragile, Deaf])
def test_a_broken_brief_is_caught(broken):
    class Tried(testing.BriefTestCase):
        __test__ = False
        good_replies = (REPLY,)

        def make(self):
            return broken()

    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(Tried).run(result)

    assert 1 == len(result.failures) + len(result.errors)
