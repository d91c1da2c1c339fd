"""Rules that let go of gradients in a step, and what they work from in the next."""

import pytest
import torch

from dux_agent.live.optimizer import DuxOptimizer
from dux_agent.live.swap import swap
from dux_sandbox.executions import EXECUTIONS
from dux_sandbox.limits import Limits
from tests import models
from tests.executions import both

_CLASS = """
import torch


class Rule(torch.optim.Optimizer):
    def __init__(self, params, lr=0.05, rho=0.05):
        super().__init__(params, dict(lr=lr, rho=rho))

    def every(self):
        return [
            (p, group)
            for group in self.param_groups
            for p in group["params"]
            if p.grad is not None
        ]
"""
# Each takes its gradients from before the step and forgets them on its way.
LETS_GO = {
    "at the end": """
    @torch.no_grad()
    def step(self, closure=None):
        for p, group in self.every():
            p.add_(p.grad, alpha=-group["lr"])
        self.zero_grad()
""",
    "at the end, to zero": """
    @torch.no_grad()
    def step(self, closure=None):
        for p, group in self.every():
            p.add_(p.grad, alpha=-group["lr"])
        self.zero_grad(set_to_none=False)
""",
}
# So do these, and ask for others at another place.
ASKS_AGAIN = {
    "two phases": """
    @torch.no_grad()
    def first_step(self, zero_grad=False):
        norm = torch.norm(torch.stack([p.grad.norm() for p, _ in self.every()]))
        for p, group in self.every():
            away = p.grad * (group["rho"] / (norm + 1e-12))
            p.add_(away)
            self.state[p]["away"] = away
        if zero_grad:
            self.zero_grad()

    @torch.no_grad()
    def second_step(self, zero_grad=False):
        for p, group in self.every():
            p.sub_(self.state[p]["away"])
            p.add_(p.grad, alpha=-group["lr"])
        if zero_grad:
            self.zero_grad()

    @torch.no_grad()
    def step(self, closure=None):
        assert closure is not None, "it needs a closure"
        closure = torch.enable_grad()(closure)
        self.first_step(zero_grad=True)
        loss = closure()
        self.second_step(zero_grad=True)
        return loss
""",
    "half a step ahead": """
    @torch.no_grad()
    def step(self, closure):
        begun = [(p, p.clone(), group["lr"]) for p, group in self.every()]
        for p, _, rate in begun:
            p.add_(p.grad, alpha=-0.5 * rate)
        self.zero_grad()
        with torch.enable_grad():
            loss = closure()
        for p, before, rate in begun:
            p.copy_(before - rate * p.grad)
        return loss
""",
}


def _trained(optimizer, model, steps, *, first, closing):
    """Weights after each step of a loop; `first`: gradients are there before it."""
    batches, rows = models.batches(), []
    for step in range(steps):
        batch = batches[step % len(batches)]

        def closure(batch=batch):
            optimizer.zero_grad()
            loss = models.objective(model, batch)
            loss.backward()
            return loss

        if first:
            closure()
        optimizer.step(closure if closing else None)
        rows.append([each.detach().clone() for each in model.parameters()])
    return rows


def _live(text, execution):
    model = models.make("mlp")
    base = torch.optim.SGD(model.parameters(), lr=0.05)

    def build(source, groups):
        return EXECUTIONS[execution].build(source, groups, limits=Limits(), seed=0)

    live = DuxOptimizer(base, model=model, build=build)
    swap(live, _CLASS + text)
    return live, model


def _plain(text):
    names = {}
    exec(_CLASS + text, names)
    model = models.make("mlp")
    return names["Rule"](model.parameters()), model


def _same(one, other):
    return all(
        torch.equal(a, b)
        for before, now in zip(one, other, strict=True)
        for a, b in zip(before, now, strict=True)
    )


@both
@pytest.mark.parametrize("name", list(LETS_GO))
def test_a_rule_that_lets_go_of_gradients_meets_those_of_the_next_step(name, execution):
    plain, twin = _plain(LETS_GO[name])
    live, model = _live(LETS_GO[name], execution)

    expected = _trained(plain, twin, 6, first=True, closing=False)
    found = _trained(live, model, 6, first=True, closing=False)
    live.close()

    assert _same(expected, found)


@both
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("name", list(ASKS_AGAIN))
def test_a_rule_that_moves_before_it_asks_has_gradients_whatever_the_loop_does(
    name, first, execution
):
    plain, twin = _plain(ASKS_AGAIN[name])
    live, model = _live(ASKS_AGAIN[name], execution)

    expected = _trained(plain, twin, 6, first=True, closing=True)
    found = _trained(live, model, 6, first=first, closing=True)
    live.close()

    assert _same(expected, found)
