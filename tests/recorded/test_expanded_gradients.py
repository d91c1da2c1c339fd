"""Gradients of which elements share memory, as `expand` makes them.

Torch writes to none of those: a rule meets a dense copy, wherever it runs.
"""

import sys
from contextlib import closing

import pytest
import torch

from dux_agent.live.swap import swap
from dux_sandbox.executions import EXECUTIONS
from dux_sandbox.limits import Limits
from tests.sources import with_step
from tests.swapping import live_over

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs the jail")
SCALES = with_step(
    """\
        for group in self.param_groups:
            for p in group["params"]:
                p.sub_(p.grad, alpha=0.5)
            for p in group["params"]:
                p.grad.mul_(0.5)
                p.sub_(p.grad, alpha=0.5)
"""
)
RAISES = with_step(
    """\
        self.n = 1 // 0
"""
)


def turned(tensor):
    """The same, in which two of three dimensions share memory."""
    return tensor[:1, :, :1].expand(tensor.shape)


@pytest.mark.parametrize("kind", ["recorded", "isolated", "inline"])
@pytest.mark.parametrize("first", [0, 2])
def test_a_rule_that_writes_to_such_a_gradient_steps_once(kind, first):
    weights = [torch.nn.Parameter(torch.ones(2, 3, 4)) for _ in range(2)]
    groups = [{"params": weights}]
    rule = EXECUTIONS[kind].build(SCALES, groups, limits=Limits(), seed=0)
    with closing(rule):
        groups[0].update(rule.options[0])
        rule.bind(groups)
        for step in range(4):
            for each in weights:
                each.grad = torch.ones(each.shape)
            if step >= first:
                weights[1].grad = given = turned(weights[1].grad)
            rule.step()

        assert kind == getattr(rule, "mode", kind)
    assert weights[1].grad is given
    assert torch.equal(torch.ones(2, 3, 4), given)
    assert torch.equal(torch.full((2, 3, 4), 0.5), weights[0].grad)
    for each in weights:
        torch.testing.assert_close(each, torch.full((2, 3, 4), 1 - 4 * 0.755))


@pytest.mark.parametrize("layout", [turned, torch.Tensor.to_sparse])
def test_a_rule_that_fails_over_such_a_gradient_gives_way(layout):
    weight = torch.nn.Parameter(torch.ones(2, 3, 4))
    live = live_over(None, torch.optim.SGD([weight], lr=0.5))
    swap(live, RAISES)
    weight.grad = given = layout(torch.ones(2, 3, 4))

    live.step()

    assert weight.grad is given
    assert live.running is live.base_rule
    assert torch.equal(torch.full((2, 3, 4), 0.5), weight)
