"""What a rule may do before it calls its closure, and still be recorded."""

import pytest
import torch

from dux_sandbox.recorded.tape import Unrecordable
from dux_sandbox.running import InlineRule
from tests.recorded.recording import replay_of, twin_of
from tests.recorded.test_recording import groups_of, parameters_in

OF_HELPERS = """
import torch
from dataclasses import dataclass


@dataclass
class Slot:
    m: torch.Tensor


class Helped(torch.optim.Optimizer):
    def __init__(self, params, lr=0.01):
        super().__init__(params, dict(lr=lr))
        self.slots, self.sums = {}, {}

    @torch.no_grad()
    def step(self, closure=None):
        SHRUNK
        loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p not in self.slots:
                    self.slots[p] = Slot(torch.zeros_like(p))
                    self.sums[p] = torch.zeros_like(p)
                self.slots[p].m.lerp_(p.grad, 0.1)
                self.sums[p].add_(p.grad)
                p.sub_(self.slots[p].m + self.sums[p], alpha=group["lr"])
        return loss
"""


@pytest.mark.parametrize(
    ("shrunk", "recorded"),
    [
        ("", True),
        ("[each.mul_(0.9) for each in self.sums.values()]", True),
        ("[p.copy_(each.m) for p, each in self.slots.items()]", False),
        ("if any(float(x.sum()) > 9 for x in self.sums.values()): return", False),
    ],
)
def test_what_a_rule_keeps_on_itself_is_there_before_its_closure(shrunk, recorded):
    groups = groups_of()
    others = twin_of(groups)
    source = OF_HELPERS.replace("SHRUNK", shrunk)
    rule, (replay, _) = InlineRule.build(source, others), replay_of(source, groups)
    generator, loss = torch.Generator().manual_seed(1), torch.ones(())

    def step():
        pairs = list(zip(parameters_in(groups), parameters_in(others), strict=True))
        for one, other in pairs:
            one.grad = torch.randn(one.shape, generator=generator)
            other.grad = one.grad.clone()
        rule.step(lambda: loss)
        replay.step("float32", loss)
        assert all(torch.equal(one, other) for one, other in pairs)

    step()
    if not recorded:
        with pytest.raises(Unrecordable, match="before it calls the closure"):
            step()
        return
    for _ in range(3):
        step()
