"""The archive of outcomes: the same live, from a trace, and after a resume."""

import pytest

from dux_agent.live.saved_checkpoint import CheckpointRefused
from dux_agent.run_folder import kept_sources, trace
from dux_graphs.proposals import OptimizerBrief
from dux_graphs.search.archive import Archive
from dux_graphs.search.best_dry_run import BestDryRun
from tests import models
from tests.swapping import MOMENTUM, SGD
from tests.talking import agent_over, run

FORBIDDEN = "import os\n" + SGD


class Noting(BestDryRun):
    """Today's strategy, that writes down what it is shown and told."""

    def __init__(self):
        super().__init__(OptimizerBrief())
        self.__dict__["shown"], self.__dict__["told"] = [], []

    def requests(self, observation, archive, tries_left):
        self.shown.append(tuple(archive))
        return super().requests(observation, archive, tries_left)

    def tell(self, outcome):
        self.told.append(outcome)


def trained(tmp_path, strategy, checkpoint=False):
    """An agent with three decisions, of which the second needs a repair."""
    model = models.make("mlp")
    agent = agent_over(
        model,
        SGD,
        FORBIDDEN,
        MOMENTUM,
        SGD,
        strategy=strategy,
        run_dir=tmp_path,
        validate=lambda net: 0.25,
    )
    for _ in range(3):
        run(agent, 3)
        agent.decide()
    return model, agent


def test_a_strategy_is_told_of_what_was_applied_after_its_interval(tmp_path):
    strategy = Noting()

    _, agent = trained(tmp_path / "run", strategy)
    agent.close()

    assert [1, 2] == [outcome.decision for outcome in strategy.told]
    assert all(outcome.applied and outcome.live_losses for outcome in strategy.told)
    assert [0.25, 0.25] == [outcome.validation for outcome in strategy.told]


def test_the_archive_of_a_trace_is_the_one_that_the_strategy_saw(tmp_path):
    strategy, folder = Noting(), tmp_path / "run"
    _, agent = trained(folder, strategy)
    agent.close()

    events = trace.read(folder)
    archive = Archive.of(events, lambda d: kept_sources.read_kept_source(folder, d))

    last = strategy.shown[-1]
    assert 3 == len(last)
    assert ["dry_run", "static_check", "dry_run"] == [o.stage for o in last]
    assert last == archive.outcomes(before=3)


def test_a_resumed_agent_shows_and_tells_its_strategy_the_same(tmp_path):
    first, second = Noting(), Noting()
    model, agent = trained(tmp_path / "run", first)
    state = agent.state_dict()
    run(agent, 3)
    agent.decide()
    agent.close()
    with agent_over(model, SGD, strategy=second, validate=lambda net: 0.25) as other:
        other.load_state_dict(state)
        run(other, 3)
        other.decide()

    assert first.told[:2] == second.told[:2]
    assert [o.digest for o in first.shown[-1]] == [o.digest for o in second.shown[0]]


@pytest.mark.parametrize(
    "intervals", [3, [[1]], [["one", [], None]], [[1, ["x"], None]], [[1, [], "x"]]]
)
def test_a_damaged_archive_in_a_checkpoint_is_refused(intervals):
    with agent_over(models.make("mlp"), SGD) as agent:
        run(agent, 3)
        state = agent.state_dict()
        state["intervals"] = intervals

        with pytest.raises(CheckpointRefused, match="cannot be read"):
            agent.load_state_dict(state)
