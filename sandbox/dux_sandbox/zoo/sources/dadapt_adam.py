"""D-Adaptation: Adam that finds its rate from a bound on the distance to the solution.

    c = sqrt(b2);  r = c r + (1 - c) lr d <g, s / (sqrt(v) + eps)>
    m = b1 m + (1 - b1) d g;  v = b2 v + (1 - b2) g^2;  s = c s + (1 - c) lr d g
    d = max(d, r / ((1 - c) |s|_1))     (one d for all weights of a group)
    w = (1 - lr d decay) w - lr m / (sqrt(v) + eps)

Paper: Defazio, Mishchenko, Learning-rate-free learning by D-Adaptation, arXiv
2301.07733.
State: 3 numbers a weight.
"""

import torch
from torch.optim import Optimizer


class DAdaptAdam(Optimizer):
    def __init__(
        self, params, lr=1.0, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, d0=1e-6
    ):
        names = dict(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)
        super().__init__(params, dict(names, d=d0, numerator=0.0))

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            beta1, beta2 = group["betas"]
            beta3 = beta2**0.5
            d, lr = group["d"], group["lr"]
            gained = 0.0
            length = 0.0
            for p in params:
                state = self.state[p]
                if not state:
                    state["mean"] = torch.zeros_like(p)
                    state["square"] = torch.zeros_like(p)
                    state["sum"] = torch.zeros_like(p)
                scale = state["square"].sqrt().add_(group["eps"])
                gained += d * lr * (p.grad * (state["sum"] / scale)).sum().item()
                state["mean"].mul_(beta1).add_(p.grad, alpha=d * (1 - beta1))
                state["square"].mul_(beta2).addcmul_(p.grad, p.grad, value=1 - beta2)
                state["sum"].mul_(beta3).add_(p.grad, alpha=d * lr * (1 - beta3))
                length += state["sum"].abs().sum().item()
            if length > 0:
                group["numerator"] = beta3 * group["numerator"] + (1 - beta3) * gained
                if lr > 0:
                    group["d"] = max(d, group["numerator"] / ((1 - beta3) * length))
            for p in params:
                state = self.state[p]
                scale = state["square"].sqrt().add_(group["eps"])
                p.mul_(1 - d * lr * group["weight_decay"])
                p.addcdiv_(state["mean"], scale, value=-lr)
        return loss
