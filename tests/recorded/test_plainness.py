"""Which weights a rule is recorded over: those whose elements are their own."""

from contextlib import closing

import pytest
import torch

from dux_agent.benchmarks.two_steps import ADAMW
from dux_sandbox.executions import EXECUTIONS
from dux_sandbox.limits import Limits

DOUBLES = """
import torch
class Doubles(torch.optim.Optimizer):
    def __init__(self, params, lr=0.1):
        super().__init__(params, dict(lr=lr))
    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            square = sum(float(p.grad.pow(2).sum()) for p in group["params"])
            for p in group["params"]:
                state = self.state[p]
                if not state:
                    state["m"] = torch.zeros_like(p, dtype=torch.float64)
                state["m"].mul_(0.9).add_((p.grad / (1.0 + square) ** 0.5).double())
                p.add_(state["m"].to(p.dtype), alpha=-group["lr"])
"""


def after_steps(source, kind, weights):
    """The weights after six steps, how they were taken, and why not recorded."""
    weights = [torch.nn.Parameter(each) for each in weights]
    groups = [{"params": weights}]
    rule = EXECUTIONS[kind].build(source, groups, limits=Limits(), seed=0)
    generator = torch.Generator().manual_seed(1)
    with closing(rule):
        groups[0].update(rule.options[0])
        rule.bind(groups)
        for _ in range(6):
            for each in weights:
                each.grad = torch.randn(each.shape, generator=generator)
            rule.step()
        why = getattr(rule, "why", None)
        return weights, getattr(rule, "mode", kind), "" if why is None else why.message


def pieces_of_a_buffer():
    """As the weights of an LSTM lie on a CUDA device."""
    buffer = torch.linspace(-1.0, 1.0, 200)
    return [buffer[:120].view(10, 12), buffer[120:180].view(5, 12), buffer[190:]]


def test_pieces_of_one_buffer_are_recorded():
    recorded, mode, _ = after_steps(ADAMW, "recorded", pieces_of_a_buffer())
    inline, _, _ = after_steps(ADAMW, "inline", pieces_of_a_buffer())

    assert "recorded" == mode
    for one, other in zip(recorded, inline, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-7)
    buffer = torch.empty(0).set_(recorded[0].untyped_storage())
    assert torch.equal(torch.linspace(-1.0, 1.0, 200)[180:190], buffer[180:190])


@pytest.mark.parametrize(
    "pieces",
    [
        lambda buffer: [buffer[:120], buffer[100:]],
        lambda buffer: [buffer.view(20, 10)[:, :5], buffer.view(20, 10)[:, 5:]],
        lambda buffer: [buffer, buffer[50:60]],
        lambda buffer: [buffer, buffer.view(20, 10).t()],
    ],
    ids=["an overlap", "columns", "a part", "another shape"],
)
def test_weights_in_between_each_other_are_not_recorded(pieces):
    made = [pieces(torch.linspace(-1.0, 1.0, 200)) for _ in range(2)]

    isolated, mode, why = after_steps(ADAMW, "recorded", made[0])
    inline, _, _ = after_steps(ADAMW, "inline", made[1])

    assert "isolated" == mode and "part of another" in why
    for one, other in zip(isolated, inline, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-7)


def test_what_is_kept_in_doubles_is_as_exact_as_gradients_are():
    drawn = torch.linspace(-1.0, 1.0, 32 * 16 * 9).view(32, 3, 3, 16)
    lasts = [(drawn + at).permute(0, 3, 1, 2) for at in range(4)]

    _, mode, why = after_steps(DOUBLES, "recorded", [*lasts, torch.ones(8, 12)])

    assert "recorded" == mode, why
