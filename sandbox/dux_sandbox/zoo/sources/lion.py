"""Lion: the sign of a momentum that leans towards the gradient.

    w = (1 - lr decay) w - lr sign(b1 m + (1 - b1) g)
    m = b2 m + (1 - b2) g

Paper: Chen et al., Symbolic discovery of optimization algorithms, arXiv 2302.06675.
State: 1 number a weight.
"""

import torch
from torch.optim import Optimizer


class Lion(Optimizer):
    def __init__(self, params, lr=1e-4, betas=(0.9, 0.99), weight_decay=0.0):
        super().__init__(params, dict(lr=lr, betas=betas, weight_decay=weight_decay))

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
                mean = state["mean"]
                beta1, beta2 = group["betas"]
                direction = mean.lerp(p.grad, 1 - beta1).sign_()
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(direction, alpha=-group["lr"])
                mean.lerp_(p.grad, 1 - beta2)
        return loss
