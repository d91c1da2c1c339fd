"""AuON: momentum of length 1, over a mean of its hyperbolic cosine.

    m = b m + (1 - b) g;  u = b m + (1 - b) g;  u = u / |u|
    w = (1 - lr decay) w - lr u / sqrt(mean of cosh(gamma u)^2)

Paper: Maity, AuON: a linear-time alternative to orthogonal momentum updates, arXiv
2509.24320.
State: 1 number a weight.
"""

import torch
from torch.optim import Optimizer


class AuON(Optimizer):
    def __init__(self, params, lr=0.24, momentum=0.95, gamma=1.5, weight_decay=0.0):
        super().__init__(
            params,
            dict(lr=lr, momentum=momentum, gamma=gamma, weight_decay=weight_decay),
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
                update = update / update.norm().clamp(min=1e-7)
                scale = (update * group["gamma"]).cosh().square().mean().sqrt()
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(update / scale, alpha=-group["lr"])
        return loss
