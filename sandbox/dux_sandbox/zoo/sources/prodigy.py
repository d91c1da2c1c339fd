"""Prodigy: Adam that finds its rate from how far the weights have come.

    r = sqrt(b2) r + d^2 lr <g, w_0 - w>;  s = sqrt(b2) s + d^2 lr g      (over d_0)
    m = b1 m + (1 - b1) d g;  v = b2 v + (1 - b2) d^2 g^2;  d' = max(d, r / |s|_1)
    w = (1 - lr d decay) w - lr d m / (sqrt(v) + d' eps)
    d = d'                              (one d for all weights of a group)

Paper: Mishchenko, Defazio, Prodigy: an expeditiously adaptive parameter-free
learner, arXiv 2306.06101.
State: 4 numbers a weight.
"""

import torch
from torch.optim import Optimizer


class Prodigy(Optimizer):
    def __init__(
        self, params, lr=1.0, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, d0=1e-6
    ):
        names = dict(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, d0=d0)
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
                    state["start"] = p.clone()
                    state["mean"] = torch.zeros_like(p)
                    state["square"] = torch.zeros_like(p)
                    state["sum"] = torch.zeros_like(p)
                gained += (p.grad * (state["start"] - p)).sum().item()
                state["mean"].mul_(beta1).add_(p.grad, alpha=d * (1 - beta1))
                state["square"].mul_(beta2)
                state["square"].addcmul_(p.grad, p.grad, value=d * d * (1 - beta2))
                state["sum"].mul_(beta3).add_(p.grad, alpha=d / group["d0"] * d * lr)
                length += state["sum"].abs().sum().item()
            group["numerator"] = (
                beta3 * group["numerator"] + d / group["d0"] * d * lr * gained
            )
            if length == 0:
                continue
            group["d"] = max(d, group["numerator"] / length)
            for p in params:
                state = self.state[p]
                scale = state["square"].sqrt().add_(group["d"] * group["eps"])
                p.mul_(1 - d * lr * group["weight_decay"])
                p.addcdiv_(state["mean"], scale, value=-d * lr)
        return loss
