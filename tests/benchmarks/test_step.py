"""`dux bench step`."""

import json
import xml.etree.ElementTree as xml

import pytest
import torch
from typer.testing import CliRunner

from dux_agent.benchmarks import step
from dux_agent.benchmarks.step import CAPTURED, StepTime, measure
from dux_agent.benchmarks.step_table import as_drawing, as_json, as_table
from dux_agent.benchmarks.step_torch import (
    FUSED,
    RULE_OF_TORCH,
    groups_of,
    step_of_torch,
)
from dux_agent.cli import app
from dux_sandbox.executions import EXECUTIONS

RULE = """
import torch


class Plain(torch.optim.Optimizer):
    def __init__(self, params, lr=0.1):
        super().__init__(params, dict(lr=lr))

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.sub_(p.grad, alpha=group["lr"])
"""


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setattr(step, "SIZES", {"94k": [(8, 4), (3,)]})


def test_every_kind_of_execution_is_timed_beside_torchs_fused_step(tiny):
    found = list(measure({"plain": RULE}, ["94k"], rounds=2, torch_kinds=[FUSED]))

    by_kind = {each.kind: each for each in found if each.rule == "plain"}
    assert list(EXECUTIONS) == list(by_kind)
    assert all(each.seconds > 0 for each in by_kind.values())
    assert all(each.against_fused > 0 for each in by_kind.values())
    assert ["recorded"] == [kind for kind, each in by_kind.items() if each.least]
    assert {FUSED, "memory"} == {e.kind for e in found if e.rule == RULE_OF_TORCH}


def test_steps_in_graphs_are_timed_where_that_is_asked_for_and_there_is_a_device(tiny):
    once = {"sizes": ["94k"], "rounds": 1, "torch_kinds": []}

    found = list(measure({"plain": RULE}, graphs=True, **once))

    (told,) = [each for each in found if each.kind == CAPTURED]
    assert "no step was captured: there is no device" == told.note
    assert told.seconds is None
    assert "| captured | inline / recorded |" in as_table(found)
    assert {"captured"} < {each.text for each in xml.fromstring(as_drawing(found))}


def test_a_rule_that_cannot_be_timed_says_why(tiny):
    found = list(measure({"bad": "import os"}, ["94k"], rounds=1, torch_kinds=[]))

    told = [each for each in found if each.rule == "bad"]
    assert all(each.seconds is None and each.note for each in told)
    assert "- bad, inline: " in as_table(found)


def test_three_calls_clip_and_step():
    device = torch.device("cpu")
    (weights,) = groups_of([(4, 3)], device)[0]["params"]
    begun = step_of_torch([(4, 3)], "three calls", device)

    begun()

    optimizer, (stepped,), (average,) = begun.args
    assert torch.linalg.vector_norm(stepped.grad) <= 1.0 + 1e-6
    assert not torch.equal(stepped, weights)
    expected = weights.lerp(stepped, 0.001)
    torch.testing.assert_close(average, expected, rtol=0, atol=0)


TIMES = [
    StepTime(RULE_OF_TORCH, "94k", 1, "fused", 1e-4, 1.0),
    StepTime("a<b", "94k", 1, "inline", 8e-4, 8.0),
    StepTime("a<b", "94k", 1, "recorded", 4e-5, 0.4, least=2e-5),
    StepTime("c", "94k", 1, "inline", 8e-4, 8.0),
    StepTime("c", "94k", 1, "recorded", None, None, "no"),
]


def test_the_table_shows_times_and_how_much_is_gained():
    lines = as_table(TIMES).splitlines()

    assert "| torch.optim.AdamW, fused | 94k | 1 | 0.1 ms (1.00) |  |  |  |" in lines
    assert "| a<b | 94k | 1 | 0.8 ms (8.00) | 0.04 ms (0.40) | 20.0 | 40.0 |" in lines
    assert "| c | 94k | 1 | 0.8 ms (8.00) | - |  |  |" in lines
    assert "- c, recorded: no" in lines


def test_the_drawing_has_a_dot_for_each_figure():
    drawn = xml.fromstring(as_drawing(TIMES))

    dots = drawn.findall("{*}circle")
    assert 3 + 3 == len(dots)  # the legend's and the figures'
    assert "a<b, 94k, 1" in [each.text for each in drawn.findall("{*}text")]


def test_the_figures_are_json():
    assert 5 == len(json.loads(as_json(TIMES)))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--sizes", "7"], "--sizes names '7'"),
        (["--threads", "none"], "--threads is 'none'"),
        (["--device", "nowhere"], "device is 'nowhere'"),
        (["--rules", "/nowhere"], "holds no sources"),
    ],
)
def test_options_that_make_no_sense_are_told(options, said):
    result = CliRunner().invoke(app, ["bench", "step", *options])

    assert 0 != result.exit_code
    assert said in result.output


def test_the_rules_that_are_stepped_are_there():
    names = [each.stem for each in step.rule_files()]

    assert {"adamw_clipped_ema", "adamw_foreach", "radam", "muon"} < set(names)
    assert len(names) == len(set(names)) >= 18
