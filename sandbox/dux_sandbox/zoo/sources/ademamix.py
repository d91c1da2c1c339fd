"""AdEMAMix: AdamW with a second, very slow mean of gradients.

    m = b1 m + (1 - b1) g;  s = b3 s + (1 - b3) g;  v = b2 v + (1 - b2) g^2
    w = (1 - lr decay) w - lr (m / (1 - b1^t) + alpha s) / (sqrt(v / (1 - b2^t)) + eps)

Paper: Pagliardini, Ablin, Grangier, The AdEMAMix optimizer: better, faster, older,
arXiv 2409.03137.
State: 3 numbers a weight.
"""

import math

import torch
from torch.optim import Optimizer


class AdEMAMix(Optimizer):
    def __init__(
        self,
        params,
        lr=1e-3,
        betas=(0.9, 0.999, 0.9999),
        alpha=5.0,
        eps=1e-8,
        weight_decay=0.0,
    ):
        super().__init__(
            params,
            dict(lr=lr, betas=betas, alpha=alpha, eps=eps, weight_decay=weight_decay),
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
                    state["slow"] = torch.zeros_like(p)
                    state["square"] = torch.zeros_like(p)
                state["step"] += 1
                step = state["step"]
                beta1, beta2, beta3 = group["betas"]
                mean = state["mean"].lerp_(p.grad, 1 - beta1)
                slow = state["slow"].lerp_(p.grad, 1 - beta3)
                square = (
                    state["square"]
                    .mul_(beta2)
                    .addcmul_(p.grad, p.grad, value=1 - beta2)
                )
                scale = (
                    square.sqrt().div_(math.sqrt(1 - beta2**step)).add_(group["eps"])
                )
                update = (
                    mean.div(1 - beta1**step)
                    .add_(slow, alpha=group["alpha"])
                    .div_(scale)
                )
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(update, alpha=-group["lr"])
        return loss
