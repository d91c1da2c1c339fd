"""A fork of the trainer that touches the agent does nothing to the trainer's rule."""

import signal
import sys
import threading

import pytest
import torch

from dux_agent import attach
from dux_sandbox.replaying.ahead import Ahead
from tests import models
from tests.forked import outcome
from tests.loops.ends import assert_same, ends
from tests.sources import MOMENTUM
from tests.talking import scripted

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="isolated rules fork")
GENTLE = MOMENTUM.replace("lr=0.05", "lr=0.01")


def steps(agent):
    for batch in models.batches():
        agent.step(batch)


def steps_on_in_the_fork(agent):
    steps(agent)
    assert all(p.isfinite().all() for p in agent.model.parameters())
    assert "rolled_back" == agent.decisions[-1].verdict
    assert "a fork" in agent.decisions[-1].reason


def saves(agent):
    agent.optimizer.state_dict()


TOUCHES = {
    "steps": steps_on_in_the_fork,
    "closes": lambda agent: agent.close(),
    "saves": saves,
    "lets go of it": lambda agent: agent.optimizer.running.close(),
}


def trained(fork=None, execution="isolated"):
    model = models.make("mlp")
    with attach(
        model,
        torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9),
        models.objective,
        lm=scripted(GENTLE),
        execution=execution,
        accept="finite",
        dry_run_steps=1,
    ) as agent:
        steps(agent)
        assert "applied" == agent.decide().verdict
        if fork is not None:
            assert "returned" == outcome(lambda: fork(agent))
        steps(agent)
        assert ["applied"] == [each.verdict for each in agent.decisions]
        return ends(model)


@pytest.mark.parametrize("touch", TOUCHES)
def test_the_rule_goes_on_in_the_trainer(touch):
    expected = trained()

    found = trained(TOUCHES[touch])

    assert_same(expected, found)


def within_a_minute(do):
    """For a fork: something that is waited for there may never come."""

    def done():
        signal.alarm(60)
        return do()

    return done


def steps_on(agent):
    within_a_minute(lambda: steps(agent))()
    assert all(p.isfinite().all() for p in agent.model.parameters())


def test_a_recorded_rule_goes_on_in_the_trainer():
    expected = trained(execution="recorded")

    found = trained(steps_on, "recorded")

    assert_same(expected, found)


def test_a_fork_waits_for_no_thread_of_the_trainers():
    ahead, over = Ahead(lambda *asked: None), threading.Event()
    ahead._thread = threading.Thread(target=over.wait, daemon=True)
    ahead._thread.start()
    try:
        assert "returned" == outcome(within_a_minute(lambda: ahead.take(None)))
        assert ahead._thread.is_alive()
    finally:
        over.set()
