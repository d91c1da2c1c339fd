"""A strategy may be anybody's: what it cannot say is told in words."""

import pytest

from dux_agent.errors import BadArgument
from dux_graphs.proposals import OptimizerBrief
from dux_graphs.search.best_dry_run import BestDryRun
from dux_graphs.search.strategy import Request
from tests import models
from tests.swapping import ADAM
from tests.talking import agent_over, run


class Usual(BestDryRun):
    def __init__(self):
        super().__init__(OptimizerBrief())


class ChoosesNone(Usual):
    def choose(self, passed):
        return None


class ChoosesADigest(Usual):
    def choose(self, passed):
        return passed[0]["digest"]


class ChoosesACopy(Usual):
    def choose(self, passed):
        return dict(passed[0])


class Breaks(Usual):
    def requests(self, observation, archive, tries_left):
        return {}["mine"]


class AsksInText(Usual):
    def requests(self, observation, archive, tries_left):
        return ["please"]


class AsksBesideNobody(Usual):
    def requests(self, observation, archive, tries_left):
        return [Request("please", beside=True)]


class AsksNobody(Usual):
    def requests(self, observation, archive, tries_left):
        return [Request("please", model="nobody:x")]


FAULTS = [
    (ChoosesADigest, "strategy.choose() gave"),
    (ChoosesACopy, "one of the attempts that it was given, or None was wanted"),
    (Breaks, "strategy.requests() raised KeyError: 'mine'"),
    (AsksInText, "strategy.requests() gave a list"),
    (AsksBesideNobody, "a first one that is beside another"),
    (AsksNobody, "names the model 'nobody:x'"),
]


@pytest.mark.parametrize(("kind", "said"), FAULTS)
def test_a_fault_of_a_strategy_ends_the_decision_and_is_told_as_its_own(kind, said):
    model = models.make("mlp")
    with agent_over(model, ADAM, strategy=kind()) as agent:
        run(agent, 4)
        decision = agent.decide()

    assert "failed" == decision.verdict
    assert said in decision.reason


def test_where_none_of_those_that_passed_is_chosen_the_decision_is_kept():
    model = models.make("mlp")
    with agent_over(model, ADAM, strategy=ChoosesNone()) as agent:
        run(agent, 4)
        decision = agent.decide()

    assert "kept" == decision.verdict
    assert "the strategy chose none of the 1 that passed" == decision.reason


class NoTell:
    requests = choose = staticmethod(lambda *given: None)
    tell = None


@pytest.mark.parametrize(
    ("strategy", "said"),
    [
        (Usual, "the class Usual itself"),
        ("best", "strategy is a str"),
        (NoTell(), "strategy is a NoTell"),
    ],
)
def test_what_is_no_strategy_is_refused_at_attach(strategy, said):
    with pytest.raises(BadArgument, match=said):
        agent_over(models.make("mlp"), ADAM, strategy=strategy)


def test_candidates_are_refused_beside_a_strategy():
    with pytest.raises(BadArgument, match="candidates is 4 beside a strategy"):
        agent_over(models.make("mlp"), ADAM, strategy=Usual(), candidates=4)
