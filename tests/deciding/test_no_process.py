"""A decision for which no process can be had ends in words, and training goes on."""

import sys

import torch

from dux_agent import attach
from dux_sandbox.process.spawning import zygote
from tests import models
from tests.sources import MOMENTUM
from tests.talking import scripted


def test_a_decision_without_a_process_fails_in_words(monkeypatch):
    torch.manual_seed(0)
    model = models.mlp()
    base = torch.optim.SGD(model.parameters(), lr=0.02)
    batches = models.batches(5)
    options = {"execution": "isolated", "every": 5, "max_attempts": 2}

    with attach(
        model, base, models.objective, lm=scripted(MOMENTUM), **options
    ) as agent:
        zygote().close()
        monkeypatch.setattr(sys, "executable", "/bin/false")
        for batch in batches:
            agent.step(batch)
        lost = agent.decisions[0]
        monkeypatch.undo()
        for batch in batches:
            agent.step(batch)

    assert "failed" == lost.verdict
    assert "the decision failed" in lost.reason
    assert "applied" == agent.decisions[1].verdict
