"""Adan: Adam with Nesterov momentum, made of differences of gradients.

    m = b1 m + (1 - b1) g;  d = b2 d + (1 - b2) (g - last g)
    n = b3 n + (1 - b3) (g + b2 (g - last g))^2        (all of them unbiased)
    w = (w - lr (m + b2 d) / (sqrt(n) + eps)) / (1 + lr decay)

Paper: Xie et al., Adan: adaptive Nesterov momentum algorithm for faster optimizing
deep models, arXiv 2208.06677.
State: 4 numbers a weight.
"""

import math

import torch
from torch.optim import Optimizer


class Adan(Optimizer):
    def __init__(
        self, params, lr=1e-3, betas=(0.98, 0.92, 0.99), eps=1e-8, weight_decay=0.0
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
                    state["change"] = torch.zeros_like(p)
                    state["square"] = torch.zeros_like(p)
                    state["last"] = p.grad.clone()
                state["step"] += 1
                step = state["step"]
                beta1, beta2, beta3 = group["betas"]
                change = p.grad - state["last"]
                state["last"].copy_(p.grad)
                ahead = p.grad.add(change, alpha=beta2)
                mean = state["mean"].lerp_(p.grad, 1 - beta1)
                drift = state["change"].lerp_(change, 1 - beta2)
                square = (
                    state["square"].mul_(beta3).addcmul_(ahead, ahead, value=1 - beta3)
                )
                scale = (
                    square.sqrt().div_(math.sqrt(1 - beta3**step)).add_(group["eps"])
                )
                p.addcdiv_(mean, scale, value=-group["lr"] / (1 - beta1**step))
                p.addcdiv_(drift, scale, value=-group["lr"] * beta2 / (1 - beta2**step))
                p.div_(1 + group["lr"] * group["weight_decay"])
        return loss
