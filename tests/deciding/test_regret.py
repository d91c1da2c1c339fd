"""A rule that undoes slowly what was reached goes, though each step is in bounds."""

import pytest
import torch
from torch import nn

from dux_agent import attach
from dux_agent.deciding.regret import Regret, on_probation
from dux_agent.decisions import Decision
from dux_agent.training.interval_statistics import IntervalStatistics
from tests.executions import both
from tests.talking import scripted

CLIMBS = """
import torch

class Climbs(torch.optim.Optimizer):
    def __init__(self, params, lr=0.008):
        super().__init__(params, dict(lr=lr))

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.add_(p.grad, alpha=group["lr"])
"""
REFUSED = "import os\n"


def lowered(*sources, execution="inline"):
    """An agent whose base optimizer has taken the loss w**2 from 100 to 0.02."""
    model = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        model.weight.fill_(10.0)
    base = torch.optim.SGD(model.parameters(), lr=0.05)
    agent = attach(
        model,
        base,
        lambda net, batch: net(batch).square().mean(),
        lm=scripted(*sources),
        execution=execution,
        max_attempts=1,
        accept="finite",  # the dry run would show that it climbs
    )
    steps(agent, 40)
    return agent, model


def steps(agent, count):
    for _ in range(count):
        agent.step(torch.ones(4, 1))


@both
@pytest.mark.parametrize("second", [CLIMBS, REFUSED], ids=["the same", "refused"])
def test_a_rule_that_doubles_the_loss_over_an_interval_is_rolled_back(
    execution, second
):
    agent, model = lowered(CLIMBS, second, execution=execution)
    with agent:
        reached = float(model.weight.detach())
        assert "applied" == agent.decide().verdict
        steps(agent, 60)
        climbed = float(model.weight.detach())
        agent.decide()

        assert climbed > 2 * reached
        assert "rolled_back" == agent.decisions[0].verdict
        assert "the interval ended" in agent.decisions[0].reason
        assert reached == float(model.weight.detach())
        assert agent.optimizer.running is agent.optimizer.base_rule


@both
def test_what_was_reached_is_known_after_a_resume(execution):
    agent, model = lowered(CLIMBS, REFUSED, execution=execution)
    with agent:
        agent.decide()
        steps(agent, 60)
        state, weights = agent.state_dict(), model.state_dict()
        again, other = lowered(REFUSED, execution=execution)
        with again:
            other.load_state_dict(weights)
            again.load_state_dict(state)
            again.decide()

            assert "rolled_back" == again.decisions[0].verdict


def test_a_checkpoint_of_before_that_does_not_say_it_is_read():
    agent, _ = lowered(CLIMBS)
    with agent:
        state = _without(agent.state_dict(), "reached")
        agent.load_state_dict(state)


def _without(state, name):
    if isinstance(state, dict):
        return {k: _without(v, name) for k, v in state.items() if k != name}
    return state


def interval(losses):
    statistics = IntervalStatistics(seed=0)
    for loss in losses:
        statistics.see(loss)
    return statistics


@pytest.mark.parametrize("ends", [0.2, 1.0, 1.3])
def test_an_interval_that_ends_near_what_was_reached_is_let_be(ends):
    assert Regret(1.0).of(interval([ends] * 50), ruled=True) is None


@pytest.mark.parametrize(("ends", "stays"), [(0.2, True), (1.04, True), (1.1, False)])
def test_the_first_interval_of_a_rule_may_not_end_higher(ends, stays):
    reason = Regret(1.0).of(interval([ends] * 50), ruled=True, new=True)

    assert stays == (reason is None)


@pytest.mark.parametrize("new", [False, True])
def test_noise_alone_is_no_regret(new):
    losses = [0.2, 3.4] * 25

    assert Regret(1.0).of(interval(losses), ruled=True, new=new) is None


def test_what_the_base_optimizer_comes_to_is_what_there_is_to_reach():
    regret = Regret(1.0)

    assert regret.of(interval([5.0] * 50), ruled=False) is None
    assert 5.0 == regret.reached


def test_losses_below_zero_are_judged_by_their_size():
    assert Regret(-10.0).of(interval([-9.0] * 50), ruled=True) is None
    assert "bound -5" in Regret(-10.0).of(interval([-4.0] * 50), ruled=True)


@pytest.mark.parametrize("accept", ["finite", "harmless", "not_worse"])
@pytest.mark.parametrize("verdict", ["applied", "kept", "rolled_back", "failed"])
def test_a_new_rule_has_to_show_that_it_may_stay_unless_whatever_runs_is_wanted(
    verdict, accept
):
    decisions = [Decision("applied", step=1, number=1)]
    decisions.append(Decision(verdict, step=2, number=2))

    found = on_probation(decisions, accept)

    assert found == (verdict == "applied" and accept != "finite")
    assert not on_probation([], accept)
