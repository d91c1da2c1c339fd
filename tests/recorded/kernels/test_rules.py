"""Recorded rules whose steps kernels take, held against the same rule inline."""

import threading
from contextlib import closing

import pytest
import torch

from dux_agent.benchmarks.two_steps import ADAMW
from dux_sandbox.executions import EXECUTIONS
from dux_sandbox.limits import Limits
from dux_sandbox.recorded.kernels import compiling
from tests.rule_sources import corpus

RULES = {"adamw": ADAMW} | {
    file.stem: file.read_text()
    for file in corpus("benign")
    if file.stem in ("radam", "schedulefree_sgd", "clipped_sgd", "muon")
}


def built(source, kind):
    generator = torch.Generator().manual_seed(0)
    shapes = [(20, 30), (30,)]
    weights = [
        torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes
    ]
    groups = [{"params": weights}]
    rule = EXECUTIONS[kind].build(source, groups, limits=Limits(), seed=0)
    groups[0].update(rule.options[0])
    rule.bind(groups)
    return rule, weights, groups[0]


def stepped(rule, weights, generator, steps):
    for _ in range(steps):
        for weight in weights:
            weight.grad = torch.randn(weight.shape, generator=generator)
        rule.step()


@pytest.mark.parametrize("name", RULES)
def test_a_rule_steps_by_kernels_as_it_does_inline(name):
    ends = []
    for kind in ("recorded", "inline"):
        rule, weights, _ = built(RULES[name], kind)
        generator = torch.Generator().manual_seed(1)
        try:
            stepped(rule, weights, generator, 12)
            ends.append([weight.detach().clone() for weight in weights])
        finally:
            rule.close()

    assert "dux-kernels" not in [each.name for each in threading.enumerate()]
    for recorded, inline in zip(*ends, strict=True):
        torch.testing.assert_close(recorded, inline, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", RULES)
def test_a_rule_takes_the_same_steps_however_long_compiling_takes(name, monkeypatch):
    ends = []
    for loaded in ({}, compiling.LOADED):  # compiled anew, and there at once
        monkeypatch.setattr(compiling, "LOADED", loaded)
        rule, weights, _ = built(RULES[name], "recorded")
        with closing(rule):
            stepped(rule, weights, torch.Generator().manual_seed(1), 8)
        ends.append(weights)

    assert all(map(torch.equal, *ends))


@pytest.mark.parametrize("name", RULES)
def test_a_rule_that_goes_on_from_a_snapshot_takes_the_same_steps(name):
    generator = torch.Generator().manual_seed(1)
    rule, weights, group = built(RULES[name], "recorded")
    other, others, options = built(RULES[name], "recorded")
    with closing(rule), closing(other):
        stepped(rule, weights, generator, 5)
        other.restore(rule.snapshot())
        options.update({key: group[key] for key in rule.options[0]})
        for one, two in zip(weights, others, strict=True):
            two.data.copy_(one.data)
        after = generator.get_state()

        stepped(rule, weights, generator, 5)
        generator.set_state(after)
        stepped(other, others, generator, 5)

    assert all(map(torch.equal, weights, others))
