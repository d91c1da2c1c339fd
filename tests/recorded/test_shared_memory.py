"""Recorded rules whose weights are given other memory: a buffer's, or each other's."""

import sys
from contextlib import closing

import pytest
import torch

from dux_agent.benchmarks.two_steps import ADAMW
from dux_sandbox.executions import EXECUTIONS
from dux_sandbox.limits import Limits
from tests.sources import with_step

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs the jail")
ROUNDS = with_step(
    """\
        for group in self.param_groups:
            for p in group["params"]:
                p.mul_(0.9)
            for p in group["params"]:
                p.add_(p.grad, alpha=-group["lr"])
"""
)


def flattened(weights):
    """All are views of one buffer, side by side, as sharding wrappers do it."""
    flat, at = torch.cat([each.data.flatten() for each in weights]), 0
    for each in weights:
        each.data = flat[at : at + each.numel()].view_as(each)
        at += each.numel()


def tied(weights):
    weights[2].data = weights[0].data


def tied_turned(weights):
    weights[1].data = weights[0].data.t()


def in_each_others_columns(weights):
    whole = torch.linspace(-1, 1, 48).view(6, 8)
    weights[0].data, weights[2].data = whole[:, :4], whole[:, 2:6]


def trained(kind, source, change, when):
    """The weights after 8 steps, and where the rule ran."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(6, 4), (4, 6), (6, 4), (5,)]
    weights = [torch.nn.Parameter(torch.randn(s, generator=generator)) for s in shapes]
    groups = [{"params": weights}]
    rule = EXECUTIONS[kind].build(source, groups, limits=Limits(), seed=0)
    with closing(rule):
        groups[0].update(rule.options[0])
        rule.bind(groups)
        for step in range(8):
            if step == when:
                change(weights)
            for each in weights:
                each.grad = torch.randn(each.shape, generator=generator)
            rule.step()
        return weights, getattr(rule, "mode", kind)


@pytest.mark.parametrize("change", [tied, tied_turned, in_each_others_columns])
def test_weights_in_each_others_memory_are_stepped_one_after_the_other(change):
    weights, mode = trained("recorded", ROUNDS, change, 4)
    others, _ = trained("inline", ROUNDS, change, 4)

    assert "isolated" == mode
    for one, other in zip(others, weights, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-7)


def test_weights_that_are_put_side_by_side_in_one_buffer_stay_recorded():
    weights, mode = trained("recorded", ADAMW, flattened, 4)
    others, _ = trained("inline", ADAMW, flattened, 4)

    assert "recorded" == mode
    assert 1 == len({each.untyped_storage().data_ptr() for each in weights})
    for one, other in zip(others, weights, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
