"""What a loop does to tensors and options between two steps: the next one sees it."""

import sys
from contextlib import closing

import pytest
import torch

from dux_sandbox.executions import EXECUTIONS
from dux_sandbox.limits import Limits
from tests.sources import with_step

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs the jail")
COUNTING = with_step(
    """\
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state.update(t=0, m=torch.zeros_like(p))
                state["t"] += 1
                state["m"].mul_(0.9).add_(p.grad, alpha=0.1)
                p.sub_(state["m"] / (1 - 0.9 ** state["t"]), alpha=group["lr"])
"""
)
AVERAGING = with_step(
    """\
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state[p]
                if not state:
                    state.update(t=0, z=p.detach().clone())
                state["t"] += 1
                if p.grad is not None:
                    state["z"].sub_(p.grad, alpha=group["lr"] / state["t"])
                p.copy_(state["z"] * (1 + group["lr"] ** state["t"]))
"""
)
SPENDING = with_step(
    """\
        for group in self.param_groups:
            for p in group["params"]:
                p.sub_(p.abs().sqrt(), alpha=group["lr"])
                if p.grad is not None:
                    p.grad.zero_()
"""
)


def other_memory(weights, group):
    weights[0].data = weights[0].data.clone()


def same_memory_turned(weights, group):
    weights[0].data = weights[0].data.as_strided((6, 4), (1, 6))


def others_weights(weights, group):
    weights[0].data = torch.full((6, 4), 0.5)


def no_gradient(weights, group):
    weights[1].grad = None


def sparse_gradient(weights, group):
    weights[0].grad = weights[0].grad.to_sparse()


def turned_gradient(weights, group):
    weights[0].grad = weights[0].grad.t().contiguous().t()


def one_gradient_for_all(weights, group):
    weights[0].grad = torch.ones(1, 1).expand(6, 4)


def gradient_in_place(weights, group):
    weights[1].grad.zero_()


def gradient_of_other_memory(weights, group):
    weights[1].grad.data = torch.full((5,), 2.0)


def option(weights, group):
    group["lr"] = 0.5


def frozen(weights, group):
    weights[0].requires_grad_(False)


CHANGES = [
    *(other_memory, same_memory_turned, others_weights, no_gradient, sparse_gradient),
    *(turned_gradient, one_gradient_for_all, gradient_in_place),
    *(gradient_of_other_memory, option, frozen),
]


def trained(kind, change, source=COUNTING):
    """The weights after each of 9 steps, and where the rule ran."""
    generator = torch.Generator().manual_seed(0)
    weights = [
        torch.nn.Parameter(torch.randn(s, generator=generator)) for s in [(6, 4), (5,)]
    ]
    for each in weights:
        each.grad = torch.zeros_like(each)
    groups, seen = [{"params": weights}], []
    rule = EXECUTIONS[kind].build(source, groups, limits=Limits(), seed=0)
    with closing(rule):
        groups[0].update(rule.options[0])
        rule.bind(groups)
        for step in range(9):
            for each in weights:
                drawn = torch.randn(each.shape, generator=generator)
                if step < 6 and each.grad is not None and each.grad.is_contiguous():
                    each.grad.copy_(drawn)  # so that nothing has moved
                else:
                    each.grad = drawn
            if step in (4, 7):
                change(weights, groups[0])
            rule.step()
            seen.append([each.detach().clone() for each in weights])
        return seen, getattr(rule, "mode", kind)


# Torch itself writes to no gradient that is one number for all elements.
CASES = [
    pytest.param(source, change, id=f"{name}-{change.__name__}")
    for name, source in [
        ("counting", COUNTING),
        ("weights it does not read", AVERAGING),
        ("gradients it does not read", SPENDING),
    ]
    for change in CHANGES
    if source is not SPENDING or change is not one_gradient_for_all
]


@pytest.mark.parametrize("source, change", CASES)
def test_what_is_done_between_steps_is_seen(source, change):
    seen, mode = trained("recorded", change, source)
    wanted, _ = trained("inline", change, source)

    assert "recorded" == mode
    for one, other in zip(wanted, seen, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-6, atol=1e-7)
