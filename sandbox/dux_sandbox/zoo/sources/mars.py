"""MARS: AdamW on gradients that are corrected by their last change.

    c = g + gamma b1 / (1 - b1) (g - last g);  c = c / max(1, |c|)
    m = b1 m + (1 - b1) c;  v = b2 v + (1 - b2) c^2
    w = (1 - lr decay) w - lr (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps)

Paper: Yuan et al., MARS: unleashing the power of variance reduction for training
large models, arXiv 2411.10438.
State: 3 numbers a weight.
"""

import math

import torch
from torch.optim import Optimizer


class MARS(Optimizer):
    def __init__(
        self,
        params,
        lr=3e-3,
        betas=(0.95, 0.99),
        gamma=0.025,
        eps=1e-8,
        weight_decay=0.0,
    ):
        super().__init__(
            params,
            dict(lr=lr, betas=betas, gamma=gamma, eps=eps, weight_decay=weight_decay),
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
                    state["last"] = torch.zeros_like(p)
                state["step"] += 1
                step = state["step"]
                beta1, beta2 = group["betas"]
                change = p.grad - state["last"]
                corrected = p.grad.add(
                    change, alpha=group["gamma"] * beta1 / (1 - beta1)
                )
                corrected.div_(corrected.norm().clamp_(min=1.0))
                state["last"].copy_(p.grad)
                mean = state["mean"].lerp_(corrected, 1 - beta1)
                square = state["square"].mul_(beta2)
                square.addcmul_(corrected, corrected, value=1 - beta2)
                scale = (
                    square.sqrt().div_(math.sqrt(1 - beta2**step)).add_(group["eps"])
                )
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.addcdiv_(mean, scale, value=-group["lr"] / (1 - beta1**step))
        return loss
