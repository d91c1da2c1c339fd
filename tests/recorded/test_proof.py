"""What a rule is proven on before it is recorded."""

from contextlib import closing

import pytest
import torch

from dux_agent.benchmarks.two_steps import ADAMW
from dux_sandbox.executions import EXECUTIONS
from dux_sandbox.limits import Limits
from dux_sandbox.replaying.samples import smaller, weights_of

BY_SIZE = """
import torch


class BySize(torch.optim.Optimizer):
    def __init__(self, params, lr=0.01):
        super().__init__(params, dict(lr=lr))

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                step = p.grad.sign() if p.numel() > 1_000_000 else p.grad
                p.sub_(step * group["lr"])
"""


def groups_of(*shapes):
    generator = torch.Generator().manual_seed(0)
    drawn = [torch.randn(shape, generator=generator) for shape in shapes]
    return [{"params": [torch.nn.Parameter(each) for each in drawn]}]


def test_large_tensors_are_proven_on_as_corners_of_the_same_form():
    shapes = [(50000, 768), (768, 768), (3072, 768), (512, 512, 3, 3), (768,)]

    small = smaller(groups_of(*shapes))

    high, square, tall, kernel, bias = (each.shape for each in small[0]["params"])
    assert weights_of(small) < 1_000_000
    assert square[0] == square[1]
    assert high[0] > 60 * high[1] and 4 * tall[1] == pytest.approx(tall[0], rel=0.02)
    assert (3, 3) == kernel[2:] and kernel[0] == kernel[1]
    assert (768,) == bias


def test_what_is_small_is_proven_on_as_it_is():
    groups = groups_of((300, 200), (200,))

    assert groups is smaller(groups)


@pytest.mark.parametrize("source", [ADAMW, BY_SIZE], ids=["the same", "by size"])
def test_a_rule_over_large_tensors_is_recorded_and_steps_as_inline(source):
    ends = []
    for kind in ("recorded", "inline"):
        groups = groups_of((2500, 2000), (2000,))
        rule = EXECUTIONS[kind].build(source, groups, limits=Limits(), seed=0)
        with closing(rule):
            groups[0].update(rule.options[0])
            rule.bind(groups)
            for weight in groups[0]["params"]:
                weight.grad = torch.ones_like(weight) / 7
            for _ in range(3):
                rule.step()
            assert kind == getattr(rule, "mode", kind), rule.why
        ends.append(groups[0]["params"])

    for recorded, inline in zip(*ends, strict=True):
        torch.testing.assert_close(recorded, inline, rtol=1e-6, atol=1e-6)
