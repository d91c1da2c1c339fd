"""The walks in docs/architecture.md are the calls that are made, in that order."""

import re
import sys
import threading

import pytest
import torch

from dux_agent import attach
from dux_sandbox.executions import ISOLATED
from dux_sandbox.limits import Limits
from dux_sandbox.process import spawning
from tests import models
from tests.modules_table import REPOSITORY
from tests.sources import MOMENTUM
from tests.talking import scripted, sgd

PAGE = (REPOSITORY / "docs" / "architecture.md").read_text()
DATA = models.batches(4)


def walk(name):
    """The functions of one walk, in the order of the page."""
    text = PAGE.partition(f"<!-- walk of {name} -->")[2].partition("<!-- end -->")[0]
    return re.findall(r"^\d+\. `([\w.]+)`", text, flags=re.MULTILINE)


def calls_of(function):
    """The functions of ours that are called, each where it comes first."""
    seen = {}

    def note(frame, event, _):
        module = frame.f_globals.get("__name__", "")
        if event == "call" and module.startswith("dux_"):
            seen.setdefault(f"{module}.{frame.f_code.co_qualname}")

    before = sys.getprofile()
    threading.setprofile(note)
    sys.setprofile(note)
    try:
        function()
    finally:
        sys.setprofile(before)
        threading.setprofile(None)
    return list(seen)


def train(agent, model, steps):
    for step in range(steps):
        agent.optimizer.zero_grad()
        loss = models.objective(model, DATA[step % 4])
        loss.backward()
        agent.optimizer.step()
        agent.observe(loss, DATA[step % 4])


@pytest.fixture
def training():
    model = models.make("mlp")
    with attach(
        model,
        sgd(model),
        models.objective,
        lm=scripted(MOMENTUM),
        execution="inline",
    ) as agent:
        train(agent, model, 4)
        yield agent, model


def test_a_source_walks_from_reply_to_live_rule_as_the_page_says(training):
    agent, _ = training
    expected = walk("a source")

    calls = calls_of(agent.decide)

    assert "applied" == agent.decisions[-1].verdict
    assert 15 < len(expected)
    assert expected == [name for name in calls if name in expected]


def test_a_loss_walks_from_step_to_rollback_as_the_page_says(training):
    agent, model = training
    agent.decide()
    train(agent, model, 1)

    def diverge():
        agent.optimizer.zero_grad()
        models.objective(model, DATA[0]).backward()
        agent.optimizer.step()
        agent.observe(float("nan"), DATA[0])

    expected = walk("a loss")

    calls = calls_of(diverge)

    assert "rolled_back" == agent.decisions[-1].verdict
    assert 8 < len(expected)
    assert expected == [name for name in calls if name in expected]


# What the warm process is told to run: as ever, but each child notes the functions of
# ours that it calls in shared memory, which the jail leaves it.
NOTED = """
import json, mmap, os, sys
sys.path[:] = json.loads(sys.argv[1])
from dux_sandbox.process import worker, zygote

serve = worker.serve

def noted(*given):
    place = os.open({path!r}, os.O_RDWR)
    memory = mmap.mmap(place, {size})
    seen = set()

    def note(frame, event, _):
        module = frame.f_globals.get("__name__", "")
        name = module + "." + frame.f_code.co_qualname
        if event == "call" and module.startswith("dux_") and name not in seen:
            seen.add(name)
            memory.write(name.encode() + b"\\n")

    sys.setprofile(note)
    serve(*given)

worker.serve = noted
zygote.main(int(sys.argv[2]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="isolated rules need Linux")
def test_a_rule_walks_through_its_child_as_the_page_says(tmp_path, monkeypatch):
    noted, size = tmp_path / "noted", 1 << 20
    noted.write_bytes(bytes(size))
    warm = spawning.Zygote(NOTED.format(path=str(noted), size=size))
    monkeypatch.setattr(spawning, "zygote", lambda of: warm)
    expected = walk("a child")

    weight = torch.nn.Parameter(torch.ones(3))
    groups = [{"params": [weight], "lr": 0.1, "beta": 0.9}]
    rule = ISOLATED.build(MOMENTUM, groups, limits=Limits(), seed=0)
    try:
        weight.grad = torch.ones(3)
        rule.step()
    finally:
        rule.close()
        warm.close()

    calls = noted.read_bytes().rstrip(b"\0").decode().splitlines()
    assert 6 < len(expected)
    assert expected == [name for name in calls if name in expected]
