"""Weights that training itself spoils while a decision is made in the background."""

import threading

import pytest
import torch

from tests import models
from tests.sources import MOMENTUM
from tests.talking import Scripted, agent_over, fenced, run
from tests.waiting import wait_until

GENTLE = MOMENTUM.replace("lr=0.05", "lr=1e-6")


class Thinking(Scripted):
    """Answers when it may."""

    may: threading.Event

    def _generate(self, *given, **named):
        self.may.wait(60)
        return super()._generate(*given, **named)


class Decided:
    """An agent that has begun to decide; it comes as far as somebody wants."""

    def __init__(self, **options):
        self.model = models.make("mlp")
        self.answered, self.tried, self.approved = (threading.Event() for _ in "123")
        self.lm = Thinking(replies=[fenced(GENTLE)], may=self.answered)
        self.agent = agent_over(
            self.model, lm=self.lm, background=True, approve=self._approve, **options
        )
        run(self.agent, 40)
        self.decision = self.agent.decide()

    def _approve(self, proposal):
        self.tried.set()
        return self.approved.wait(60)

    def until_tried(self):
        self.answered.set()
        self._until(self.tried.is_set)

    def until_over(self, *, spoil=None):
        """Train until the decision is; the last step may `spoil` the weights."""
        work = self.agent._decider._pending.work
        self.approved.set()
        if spoil is not None:
            wait_until(lambda: work.waits)  # to be built, for a try
            work.serve()
            wait_until(lambda: work.over)
            self.agent.optimizer.register_step_post_hook(lambda *_: spoil(self.model))
        self._until(lambda: self.agent.decisions)

    def _until(self, true):
        def trained():
            run(self.agent, 1)
            return true()

        wait_until(trained)


@torch.no_grad()
def thrown_far(model):
    for parameter in model.parameters():
        parameter.mul_(30.0)


@torch.no_grad()
def not_a_number(model):
    next(model.parameters())[0] = torch.nan


WAYS = [(thrown_far, "the loss was"), (not_a_number, "the weights are not finite")]


def assert_nothing_applied(decided, why):
    decision, agent = decided.decision, decided.agent
    assert "kept" == decision.verdict
    assert "training itself went astray, so nothing was applied" in decision.reason
    assert why in decision.reason
    assert agent.optimizer.running is agent.optimizer.base_rule
    assert 1 == len(decided.lm.asked)
    agent.close()


@pytest.mark.parametrize(("spoil", "why"), WAYS)
def test_what_training_spoils_after_the_dry_run_gets_no_rule(spoil, why):
    decided = Decided()
    decided.until_tried()

    spoil(decided.model)
    run(decided.agent, 3)
    decided.until_over()

    assert decided.decision.attempts[-1]["ok"]
    assert_nothing_applied(decided, why)


@pytest.mark.parametrize(("spoil", "why"), WAYS)
def test_nor_does_what_the_very_last_step_has_spoilt(spoil, why):
    decided = Decided()
    decided.until_tried()

    decided.until_over(spoil=spoil)

    assert_nothing_applied(decided, why)


@pytest.mark.parametrize(("spoil", "why"), WAYS)
def test_on_what_is_spoilt_before_the_dry_run_nothing_is_tried(spoil, why):
    decided = Decided(max_attempts=3)

    spoil(decided.model)
    run(decided.agent, 3)
    decided.answered.set()
    decided.until_over()

    assert [] == decided.decision.attempts
    assert_nothing_applied(decided, why)


def test_a_bad_batch_meanwhile_is_no_harm_and_training_draws_the_same():
    torch.manual_seed(0)
    decided = Decided()
    decided.until_tried()
    batch = models.batches()[0]

    decided.agent.observe(3.0 * models.objective(decided.model, batch), batch)
    run(decided.agent, 20)
    before = torch.get_rng_state()
    decided.until_over()

    assert "applied" == decided.decision.verdict, decided.decision.reason
    assert torch.equal(before, torch.get_rng_state())
    decided.agent.close()


def test_weights_that_a_rollback_has_put_back_meanwhile_are_sound():
    decided = Decided()
    decided.until_tried()
    decided.until_over()
    agent = decided.agent
    decided.tried.clear()
    decided.approved.clear()
    decision = agent.decide()
    decided.until_tried()

    thrown_far(decided.model)
    run(agent, 4)
    back = decided.decision.verdict
    decided.approved.set()
    decided._until(lambda: len(agent.decisions) > 1)

    assert ("rolled_back", "applied") == (back, decision.verdict), decision.reason
    agent.close()
