"""Tiger: the sign of the momentum, with one number a weight.

    m = b m + (1 - b) g
    w = (1 - lr decay) w - lr sign(m)

Paper: Su, Tiger: a tight-fisted optimizer, 2023.
State: 1 number a weight.
"""

import torch
from torch.optim import Optimizer


class Tiger(Optimizer):
    def __init__(self, params, lr=1e-3, beta=0.965, weight_decay=0.01):
        super().__init__(params, dict(lr=lr, beta=beta, weight_decay=weight_decay))

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
                state = self.state[p]
                if not state:
                    state["mean"] = torch.zeros_like(p)
                mean = state["mean"].lerp_(p.grad, 1 - group["beta"])
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(mean.sign(), alpha=-group["lr"])
        return loss
