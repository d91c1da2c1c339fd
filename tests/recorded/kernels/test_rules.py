"""Recorded rules whose steps kernels take, held against the same rule inline."""

import threading

import pytest
import torch

from dux_agent.benchmarks.two_steps import ADAMW
from dux_sandbox.executions import EXECUTIONS
from dux_sandbox.limits import Limits
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
    return rule, weights


def stepped(rule, weights, generator, steps):
    for _ in range(steps):
        for weight in weights:
            weight.grad = torch.randn(weight.shape, generator=generator)
        rule.step()


@pytest.mark.parametrize("name", RULES)
def test_a_rule_goes_on_by_kernels_where_it_was(name):
    ends = []
    for kind in ("recorded", "inline"):
        rule, weights = built(RULES[name], kind)
        generator = torch.Generator().manual_seed(1)
        try:
            stepped(rule, weights, generator, 6)
            if kind == "recorded":
                rule.wait_for_kernels()
            stepped(rule, weights, generator, 6)
            ends.append([weight.detach().clone() for weight in weights])
        finally:
            rule.close()

    assert "dux-kernels" not in [each.name for each in threading.enumerate()]
    for recorded, inline in zip(*ends, strict=True):
        torch.testing.assert_close(recorded, inline, rtol=1e-5, atol=1e-5)
