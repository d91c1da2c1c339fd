"""AdamW: Adam, with the weight decay apart from the gradient.

    m = b1 m + (1 - b1) g
    v = b2 v + (1 - b2) g^2
    w = (1 - lr decay) w - lr (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps)

Paper: Loshchilov, Hutter, Decoupled weight decay regularization, arXiv 1711.05101.
State: 2 numbers a weight.
"""

import math

import torch
from torch.optim import Optimizer


class AdamW(Optimizer):
    def __init__(
        self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2
    ):
        super().__init__(
            params, dict(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)
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
                state = self.state[p]
                if not state:
                    state["step"] = 0
                    state["mean"] = torch.zeros_like(p)
                    state["square"] = torch.zeros_like(p)
                state["step"] += 1
                step, mean, square = state["step"], state["mean"], state["square"]
                beta1, beta2 = group["betas"]
                mean.lerp_(p.grad, 1 - beta1)
                square.mul_(beta2).addcmul_(p.grad, p.grad, value=1 - beta2)
                scale = (
                    square.sqrt().div_(math.sqrt(1 - beta2**step)).add_(group["eps"])
                )
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.addcdiv_(mean, scale, value=-group["lr"] / (1 - beta1**step))
        return loss
