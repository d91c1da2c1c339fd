from __future__ import annotations

from dataclasses import dataclass, field

import torch


@dataclass
class Slot:
    m: torch.Tensor
    v: torch.Tensor
    age: int = 0
    norms: list = field(default_factory=list)


class SlotAdam(torch.optim.Optimizer):
    """State in dataclass slots in a list on self, addressed by index over all groups."""

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.99), eps=1e-8):
        super().__init__(params, dict(lr=lr, betas=betas, eps=eps))
        self.slots: list[Slot | None] = [None for g in self.param_groups for _ in g["params"]]

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        i = -1
        for group in self.param_groups:
            b1, b2 = group["betas"]
            for p in group["params"]:
                i += 1
                if p.grad is None:
                    continue
                slot = self.slots[i]
                if slot is None:
                    slot = self.slots[i] = Slot(torch.zeros_like(p), torch.zeros_like(p))
                slot.age += 1
                slot.norms.append(float(p.grad.norm()))
                if len(slot.norms) > 3:
                    slot.norms.pop(0)
                typical = sorted(slot.norms)[len(slot.norms) // 2]
                scale = min(1.0, 1.5 * typical / (slot.norms[-1] + 1e-12))
                g = p.grad * scale
                slot.m.mul_(b1).add_(g, alpha=1 - b1)
                slot.v.mul_(b2).addcmul_(g, g, value=1 - b2)
                p.addcdiv_(slot.m, (slot.v / (1 - b2 ** slot.age)).sqrt_().add_(group["eps"]), value=-group["lr"] / (1 - b1 ** slot.age))
        return loss
