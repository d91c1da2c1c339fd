"""RMSprop: gradients over the root of their mean square.

    v = alpha v + (1 - alpha) g^2
    m = momentum m + g / (sqrt(v) + eps)
    w = w - lr m

Paper: Tieleman, Hinton, Lecture 6.5 of Neural networks for machine learning, 2012.
State: 2 numbers a weight.
"""

import torch
from torch.optim import Optimizer


class RMSprop(Optimizer):
    def __init__(self, params, lr=1e-3, alpha=0.99, momentum=0.9, eps=1e-8):
        super().__init__(params, dict(lr=lr, alpha=alpha, momentum=momentum, eps=eps))

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
                    state["square"] = torch.zeros_like(p)
                    state["momentum"] = torch.zeros_like(p)
                square, alpha = state["square"], group["alpha"]
                square.mul_(alpha).addcmul_(p.grad, p.grad, value=1 - alpha)
                scale = square.sqrt().add_(group["eps"])
                state["momentum"].mul_(group["momentum"]).addcdiv_(p.grad, scale)
                p.add_(state["momentum"], alpha=-group["lr"])
        return loss
