"""A fork of the trainer that touches the agent does nothing to the trainer's rule."""

import sys

import pytest
import torch

from dux_agent import attach
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


def trained(fork=None):
    model = models.make("mlp")
    with attach(
        model,
        torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9),
        models.objective,
        lm=scripted(GENTLE),
        execution="isolated",
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
