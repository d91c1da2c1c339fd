"""Muon: momentum with all its singular values made 1.

    m = b m + (1 - b) g;  u = b m + (1 - b) g
    w = (1 - lr decay) w - lr sqrt(max(1, rows / columns)) orthogonalized(u)

Vectors take the momentum as it is: give them to AdamW where you can.

Paper: Jordan et al., Muon: an optimizer for hidden layers in neural networks, 2024.
State: 1 number a weight.
"""

import math

import torch
from torch.optim import Optimizer


def orthogonalized(matrix, steps):
    """A matrix with its singular values near 1, by Newton-Schulz iterations."""
    x = matrix.to(torch.bfloat16)
    flip = x.shape[0] > x.shape[1]
    if flip:
        x = x.T
    x = x / x.norm().clamp(min=1e-7)
    for _ in range(steps):
        gram = x @ x.T
        second = torch.addmm(gram, gram, gram, beta=-4.7750, alpha=2.0315)
        x = torch.addmm(x, second, x, beta=3.4445)
    return x.T if flip else x


class Muon(Optimizer):
    def __init__(self, params, lr=1e-3, momentum=0.95, weight_decay=0.1, steps=5):
        super().__init__(
            params,
            dict(lr=lr, momentum=momentum, weight_decay=weight_decay, steps=steps),
        )

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                if p.numel() == 0:
                    continue
                state = self.state[p]
                if not state:
                    state["mean"] = torch.zeros_like(p)
                mean = state["mean"].lerp_(p.grad, 1 - group["momentum"])
                update = p.grad.lerp(mean, group["momentum"])
                rate = group["lr"]
                if p.ndim > 1:
                    flat = update.reshape(len(p), -1)
                    rate = rate * math.sqrt(max(1.0, flat.shape[0] / flat.shape[1]))
                    update = (
                        orthogonalized(flat, group["steps"])
                        .to(p.dtype)
                        .reshape(p.shape)
                    )
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(update, alpha=-rate)
        return loss
