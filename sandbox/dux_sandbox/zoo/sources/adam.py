"""Adam: a mean of gradients over the root of their mean square, both unbiased.

    m = b1 m + (1 - b1) g
    v = b2 v + (1 - b2) g^2
    w = w - lr (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps)

Weight decay is added to the gradient, as in the first paper.

Paper: Kingma, Ba, Adam: a method for stochastic optimization, arXiv 1412.6980.
State: 2 numbers a weight.
"""

import math

import torch
from torch.optim import Optimizer


class Adam(Optimizer):
    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0):
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
                grad = p.grad
                if group["weight_decay"]:
                    grad = grad.add(p, alpha=group["weight_decay"])
                state = self.state[p]
                if not state:
                    state["step"] = 0
                    state["mean"] = torch.zeros_like(p)
                    state["square"] = torch.zeros_like(p)
                state["step"] += 1
                step, mean, square = state["step"], state["mean"], state["square"]
                beta1, beta2 = group["betas"]
                mean.lerp_(grad, 1 - beta1)
                square.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
                scale = (
                    square.sqrt().div_(math.sqrt(1 - beta2**step)).add_(group["eps"])
                )
                p.addcdiv_(mean, scale, value=-group["lr"] / (1 - beta1**step))
        return loss
