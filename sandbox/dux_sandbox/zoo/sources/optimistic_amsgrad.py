"""OPT-AMSGrad: AMSGrad that steps on with a guess of the next gradient.

    m' = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) (g - guess)^2;  h = max(h, v)
    a = a - lr m' / (sqrt(h) + eps)
    w = a - lr (b1 m + (1 - b1) next guess) / (sqrt(h) + eps)
    m is the mean of the step before; the guess of the next gradient is g

Paper: Wang, Li, Karimi, Li, An optimistic acceleration of AMSGrad for nonconvex
optimization, arXiv 1903.01435.
State: 5 numbers a weight.
"""

import torch
from torch.optim import Optimizer


class OptimisticAMSGrad(Optimizer):
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
                    state["anchor"] = p.clone()
                    state["mean"] = torch.zeros_like(p)
                    state["square"] = torch.zeros_like(p)
                    state["highest"] = torch.zeros_like(p)
                    state["guess"] = torch.zeros_like(p)
                mean, square, highest = state["mean"], state["square"], state["highest"]
                beta1, beta2 = group["betas"]
                ahead = mean.mul(beta1).add_(p.grad, alpha=1 - beta1)
                surprise = p.grad - state["guess"]
                square.mul_(beta2).addcmul_(surprise, surprise, value=1 - beta2)
                highest.copy_(torch.maximum(highest, square))
                scale = highest.sqrt().add_(group["eps"])
                mean.mul_(beta1).add_(p.grad, alpha=1 - beta1)
                state["anchor"].addcdiv_(mean, scale, value=-group["lr"])
                state["guess"].copy_(p.grad)
                p.copy_(state["anchor"].addcdiv(ahead, scale, value=-group["lr"]))
        return loss
