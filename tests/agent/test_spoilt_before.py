"""Weights that were spoilt before a decision: what no rule is blamed for, or mends."""

import pytest
import torch

from tests import models
from tests.swapping import MOMENTUM, after
from tests.talking import agent_over, run

GENTLE = MOMENTUM.replace("lr=0.05", "lr=1e-6")


def stepped_then_told(agent, batch, loss):
    agent.optimizer.step()
    agent.observe(loss, batch)


def told_then_stepped(agent, batch, loss):
    agent.observe(loss, batch)
    agent.optimizer.step()


def spoilt(source):
    """An agent whose optimizer has just thrown the weights far away, and a new rule."""
    model = models.make("mlp")
    agent = agent_over(model, source)
    run(agent, 20)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(30.0)
    return model, agent


def trained(model, agent, loop, steps):
    for step in range(steps):
        batch = models.batches()[step % 3]
        agent.optimizer.zero_grad()
        loss = models.objective(model, batch)
        loss.backward()
        loop(agent, batch, loss)


@pytest.mark.parametrize("loop", [stepped_then_told, told_then_stepped])
def test_a_rule_that_finds_spoilt_weights_stays(loop):
    model, agent = spoilt(GENTLE)

    decision = agent.decide()
    trained(model, agent, loop, 40)

    assert "applied" == decision.verdict, decision.reason
    agent.close()


@pytest.mark.parametrize("loop", [stepped_then_told, told_then_stepped])
def test_one_that_spoils_them_further_is_rolled_back(loop):
    model, agent = spoilt(after(12, "p.mul_(2.0)", GENTLE))

    decision = agent.decide()
    trained(model, agent, loop, 40)

    assert "rolled_back" == decision.verdict
    agent.close()


def test_one_that_has_spoilt_them_before_a_loss_is_told_is_rolled_back():
    once = after(0, "p.mul_(30.0 if self.t == 1 else 1.0)", GENTLE)
    agent = agent_over(model := models.make("mlp"), once)
    run(agent, 20)

    def told_of_what_it_left(agent, batch, loss):
        agent.optimizer.step()
        with torch.no_grad():
            agent.observe(models.objective(model, batch), batch)

    decision = agent.decide()
    trained(model, agent, told_of_what_it_left, 40)

    assert "rolled_back" == decision.verdict
    agent.close()


def test_nor_is_the_rule_before_it_blamed_when_it_is_back():
    agent = agent_over(model := models.make("mlp"), GENTLE, after(12, "p.mul_(2.0)"))
    run(agent, 20)
    first = agent.decide()
    run(agent, 20)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(30.0)

    decision = agent.decide()
    trained(model, agent, stepped_then_told, 60)

    assert ["applied", "rolled_back"] == [first.verdict, decision.verdict]
    assert agent.optimizer.guard.waiting is None  # the first one is live
    assert agent.optimizer.guard.armed
    agent.close()


def test_nobody_is_asked_for_what_mends_weights_that_are_not_finite():
    model = models.make("mlp")
    agent = agent_over(model, GENTLE)
    run(agent, 3)
    with torch.no_grad():
        next(model.parameters())[0] = float("nan")

    decision = agent.decide()

    assert ("kept", {}) == (decision.verdict, decision.usage)
    assert "not finite" in decision.reason
    agent.close()
