"""RAdam: Adam whose adaptive rate waits until its variance can be told.

    r_inf = 2 / (1 - b2) - 1;  r = r_inf - 2 t b2^t / (1 - b2^t)
    if r > 5:  w = w - lr sqrt((r-4)(r-2) r_inf / ((r_inf-4)(r_inf-2) r)) m' / sqrt(v')
    else:      w = w - lr m'
    m' and v' as in Adam, unbiased

Paper: Liu et al., On the variance of the adaptive learning rate and beyond, arXiv
1908.03265.
State: 2 numbers a weight.
"""

import math

import torch
from torch.optim import Optimizer


class RAdam(Optimizer):
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
                state["step"] += 1
                step, mean, square = state["step"], state["mean"], state["square"]
                beta1, beta2 = group["betas"]
                mean.lerp_(p.grad, 1 - beta1)
                square.mul_(beta2).addcmul_(p.grad, p.grad, value=1 - beta2)
                rate = group["lr"] / (1 - beta1**step)
                longest = 2 / (1 - beta2) - 1
                length = longest - 2 * step * beta2**step / (1 - beta2**step)
                if length <= 5:
                    p.add_(mean, alpha=-rate)
                    continue
                rate = rate * math.sqrt(
                    (length - 4) * (length - 2) / ((longest - 4) * (longest - 2))
                )
                rate = rate * math.sqrt(longest / length) * math.sqrt(1 - beta2**step)
                p.addcdiv_(mean, square.sqrt().add_(group["eps"]), value=-rate)
        return loss
