"""LAMB: AdamW whose step has in each layer the length of the weights.

    m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2
    u = (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps) + decay w
    w = w - lr (|w| / |u|) u            (1 where a norm is 0)

Paper: You et al., Large batch optimization for deep learning: training BERT in 76
minutes, arXiv 1904.00962.
State: 2 numbers a weight.
"""

import torch
from torch.optim import Optimizer


class Lamb(Optimizer):
    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-6, weight_decay=0.0):
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
                scale = square.div(1 - beta2**step).sqrt_().add_(group["eps"])
                update = (
                    mean.div(1 - beta1**step)
                    .div_(scale)
                    .add_(p, alpha=group["weight_decay"])
                )
                weights, length = p.norm(), update.norm()
                both = (weights > 0) & (length > 0)
                trust = torch.where(both, weights / length, torch.ones_like(weights))
                p.add_(update * trust, alpha=-group["lr"])
        return loss
