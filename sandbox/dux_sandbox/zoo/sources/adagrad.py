"""Adagrad: each weight has a rate that falls with the gradients it has seen.

    s = s + g^2
    w = w - lr g / (sqrt(s) + eps)

Paper: Duchi, Hazan, Singer, Adaptive subgradient methods for online learning and
stochastic optimization, 2011.
State: 1 number a weight.
"""

import torch
from torch.optim import Optimizer


class Adagrad(Optimizer):
    def __init__(self, params, lr=1e-2, eps=1e-10):
        super().__init__(params, dict(lr=lr, eps=eps))

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
                    state["sum"] = torch.zeros_like(p)
                state["sum"].addcmul_(p.grad, p.grad)
                p.addcdiv_(
                    p.grad, state["sum"].sqrt().add_(group["eps"]), value=-group["lr"]
                )
        return loss
