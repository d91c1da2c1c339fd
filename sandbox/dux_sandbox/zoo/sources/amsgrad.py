"""AMSGrad: Adam whose second moment never falls.

    m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;  h = max(h, v)
    w = w - lr (m / (1 - b1^t)) / (sqrt(h / (1 - b2^t)) + eps)

Paper: Reddi, Kale, Kumar, On the convergence of Adam and beyond, arXiv 1904.09237.
State: 3 numbers a weight.
"""

import math

import torch
from torch.optim import Optimizer


class AMSGrad(Optimizer):
    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
        super().__init__(params, dict(lr=lr, betas=betas, eps=eps))

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
                    state["step"] = 0
                    state["mean"] = torch.zeros_like(p)
                    state["square"] = torch.zeros_like(p)
                    state["highest"] = torch.zeros_like(p)
                state["step"] += 1
                step, mean, square = state["step"], state["mean"], state["square"]
                highest = state["highest"]
                beta1, beta2 = group["betas"]
                mean.lerp_(p.grad, 1 - beta1)
                square.mul_(beta2).addcmul_(p.grad, p.grad, value=1 - beta2)
                highest.copy_(torch.maximum(highest, square))
                scale = (
                    highest.sqrt().div_(math.sqrt(1 - beta2**step)).add_(group["eps"])
                )
                p.addcdiv_(mean, scale, value=-group["lr"] / (1 - beta1**step))
        return loss
