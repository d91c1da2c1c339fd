"""Where there is no memory for a copy of ours, the training goes on without it."""

import contextlib

import pytest
import torch

from dux_agent import attach
from dux_agent.live import snapshot
from dux_agent.live.optimizer import DuxOptimizer
from dux_agent.live.run_guard import RunGuard
from dux_agent.live.swap import swap
from tests import models
from tests.sources import MOMENTUM
from tests.swapping import live_over, train
from tests.talking import scripted, sgd

GENTLE = MOMENTUM.replace("lr=0.05", "lr=0.005")


@contextlib.contextmanager
def no_memory(error=torch.OutOfMemoryError):
    def refuse(tensor, host):
        raise error("there is none left")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(snapshot, "clone", refuse)
        yield


@pytest.mark.parametrize("sound", [0, 130], ids=["first step", "renewal"])
def test_a_rule_goes_on_with_the_snapshot_that_is_kept(sound, caplog):
    model = models.make("batch norm")
    live = live_over(model, sgd(model))
    swap(live, GENTLE)
    before = [each.detach().clone() for each in model.parameters()]
    if sound:
        train(live, model, sound)

    with no_memory():
        train(live, model, 1)
    went_on = live.running is not live.base_rule
    live.guard.breach("somebody says so")

    assert went_on
    assert "the training goes on without" in caplog.text
    assert all(map(torch.equal, before, model.parameters()))


def test_a_rollback_after_a_crowded_first_step_puts_all_back():
    model = models.make("batch norm")
    live = live_over(model, sgd(model))
    train(live, model, 3)
    swap(live, GENTLE)
    before = [each.clone() for each in model.state_dict().values()]
    inputs, _ = models.batches()[0]

    live.zero_grad()
    model(inputs).sum().backward()  # moves the buffers
    next(model.parameters()).grad.fill_(torch.nan)
    with no_memory():
        live.step()

    assert live.running is live.base_rule
    assert all(map(torch.equal, before, model.state_dict().values()))


def test_a_guarded_run_goes_on_with_the_snapshot_that_is_kept(caplog):
    model = models.make("mlp")
    live = DuxOptimizer(sgd(model), model=model)
    live.guard = RunGuard(live, model)
    before = [each.detach().clone() for each in model.parameters()]
    train(live, model, 130)
    with no_memory():
        train(live, model, 1)
    live.guard.observed(torch.nan)

    assert 1 == live.guard.rollbacks
    assert "the training goes on without" in caplog.text
    assert all(map(torch.equal, before, model.parameters()))


def test_the_scale_of_losses_is_not_looked_for():
    model = models.make("mlp")
    with attach(model, sgd(model), models.objective, lm=scripted(GENTLE)) as agent:
        for batch in models.batches():
            agent.optimizer.zero_grad()
            loss = models.objective(model, batch)
            loss.backward()
            with no_memory():
                agent.optimizer.step()
            agent.observe(loss, batch)

    assert 3 == agent.step_count


def test_an_error_of_another_kind_is_no_lack_of_memory():
    with no_memory(RuntimeError), pytest.raises(RuntimeError, match="none left"):
        snapshot.unless_crowded(lambda: snapshot.clone(torch.ones(1), False), "it")
