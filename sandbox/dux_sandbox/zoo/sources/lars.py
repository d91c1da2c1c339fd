"""LARS: momentum SGD whose rate in each layer goes with weights over gradients.

    r = trust |w| / (|g| + decay |w|)   (1 where a norm is 0)
    m = momentum m + r (g + decay w)
    w = w - lr m

Vectors take the momentum as it is, without decay.

Paper: You, Gitman, Ginsburg, Large batch training of convolutional networks, arXiv
1708.03888.
State: 1 number a weight.
"""

import torch
from torch.optim import Optimizer


class LARS(Optimizer):
    def __init__(self, params, lr=1.0, momentum=0.9, trust=1e-3, weight_decay=0.0):
        super().__init__(
            params,
            dict(lr=lr, momentum=momentum, trust=trust, weight_decay=weight_decay),
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
                    state["momentum"] = torch.zeros_like(p)
                update = p.grad
                if p.ndim > 1:
                    decay = group["weight_decay"]
                    weights, length = p.norm(), p.grad.norm()
                    both = (weights > 0) & (length > 0)
                    ratio = group["trust"] * weights / (length + decay * weights)
                    ratio = torch.where(both, ratio, torch.ones_like(weights))
                    update = p.grad.add(p, alpha=decay) * ratio
                state["momentum"].mul_(group["momentum"]).add_(update)
                p.add_(state["momentum"], alpha=-group["lr"])
        return loss
