"""Weights that lie otherwise in memory, under rules that ask how they lie."""

import sys
from contextlib import ExitStack, closing

import pytest
import torch

from dux_sandbox.executions import EXECUTIONS
from dux_sandbox.limits import Limits

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs the jail")

_RULE = """
import torch


class Laid(torch.optim.Optimizer):
    def __init__(self, params, lr=0.01):
        super().__init__(params, dict(lr=lr))
        self.t = 0
        self.own = torch.Generator().manual_seed(7)

    @torch.no_grad()
    def step(self, closure=None):
        self.t += 1
        for group in self.param_groups:
            for p in group["params"]:
                s = self.state[p]
                if "m" not in s:
                    s["m"] = torch.zeros_like(p)
                m = s["m"]
                m.mul_(0.9).add_(p.grad)
                u = m
                LINE
                p.add_(u, alpha=-group["lr"])
"""
_DRAWS = "u = m + torch.randn_like(p)"
_DRAWS_LATE = "u = m + torch.randn_like(m) if self.t > 2 else m"
_FILLS = "u = m * torch.empty_like(p).bernoulli_(0.5, generator=self.own)"
_VIEWS_KEPT = "m.reshape(-1)[::2].mul_(0.5)"
_VIEWS_WEIGHT = "p.flatten().mul_(0.5)"
_ASKS = "u = m * 2 if p.is_contiguous() else m"


def turned(tensor):
    return tensor.t().contiguous().t()


def trained(line, kinds, *, at=None, first=torch.clone, steps=6):
    """The weights after these steps, by kind, and where they were taken."""
    generator = torch.Generator().manual_seed(0)
    begin = torch.randn(6, 5, generator=generator)
    gradients = [torch.randn(6, 5, generator=generator) for _ in range(steps)]
    found = []
    with ExitStack() as ending:
        for kind in kinds:
            weight = torch.nn.Parameter(first(begin))
            groups = [{"params": [weight]}]
            rule = EXECUTIONS[kind].build(
                _RULE.replace("LINE", line), groups, limits=Limits(), seed=0
            )
            ending.enter_context(closing(rule))
            groups[0].update(rule.options[0])
            rule.bind(groups)
            for step, gradient in enumerate(gradients):
                if step == at:
                    weight.data = turned(weight.data)
                weight.grad = torch.empty_like(weight).copy_(gradient)
                rule.step()
            found.append((weight.detach(), getattr(rule, "mode", kind)))
    return found


def assert_one_training(found):
    weights = [weight for weight, _ in found]
    for other in weights[1:]:
        torch.testing.assert_close(weights[0], other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("line", [_DRAWS, _FILLS, _VIEWS_KEPT, _VIEWS_WEIGHT, _ASKS])
def test_a_weight_that_is_turned_late_is_stepped_as_isolated(line):
    found = trained(line, ["recorded", "isolated"], at=3)

    assert_one_training(found)


@pytest.mark.parametrize("line", [_FILLS, _VIEWS_KEPT, _VIEWS_WEIGHT, _ASKS])
def test_a_weight_that_is_turned_late_is_stepped_as_inline(line):
    found = trained(line, ["recorded", "isolated", "inline"], at=3)

    assert_one_training(found)


def test_what_is_kept_of_a_turned_weight_is_drawn_for_in_its_own_order():
    found = trained(_DRAWS_LATE, ["recorded", "isolated"], first=turned)

    assert_one_training(found)


@pytest.mark.parametrize("first", [torch.clone, turned])
def test_what_asks_for_no_order_stays_recorded(first):
    found = trained("u = m + torch.randn(p.shape)", ["recorded"], at=3, first=first)

    assert [mode for _, mode in found] == ["recorded"]


def test_what_draws_in_the_usual_order_stays_recorded_while_nothing_is_turned():
    found = trained(_DRAWS, ["recorded"])

    assert [mode for _, mode in found] == ["recorded"]


@pytest.mark.parametrize("first", [torch.clone, turned])
def test_what_is_kept_comes_back_as_it_lay(first):
    weight = torch.nn.Parameter(first(torch.ones(6, 5)))
    line = "u = m * torch.empty_like(m).bernoulli_(0.5, generator=self.own)"
    source = _RULE.replace("LINE", line)
    with ExitStack() as ending:
        rules = []
        for kind in ("isolated", "isolated", "recorded"):
            rule = EXECUTIONS[kind].build(
                source, [{"params": [weight]}], limits=Limits(), seed=0
            )
            rules.append(ending.enter_context(closing(rule)))
        groups = [{"params": [weight], "lr": 0.01}]
        for rule in rules:
            rule.bind(groups)
        weight.grad = first(torch.full((6, 5), 0.5))
        rules[0].step()
        begin, learned = weight.detach().clone(), rules[0].snapshot()
        rules[0].step()
        wanted = weight.detach().clone()

        found = []
        for rule in rules[1:]:
            rule.restore(learned)
            weight.data.copy_(begin)
            rule.step()
            found.append(weight.detach().clone())

    assert learned.state[0]["m"].stride() == weight.stride()
    for each in found:
        assert torch.equal(wanted, each)
