"""DoG: the step is the distance from the start over the root of all squared gradients.

    r = max(r, |w - w_0|)               (first r = share (1 + |w_0|))
    s = s + |g|^2                       (norms over all weights of a group)
    w = w - lr r / sqrt(s + eps) g

The paper averages the weights as well; train and evaluate what you have, or average
outside.

Paper: Ivgi, Hinder, Carmon, DoG is SGD's best friend: a parameter-free dynamic step
size schedule, arXiv 2302.12022.
State: 1 number a weight.
"""

import torch
from torch.optim import Optimizer


class DoG(Optimizer):
    def __init__(self, params, lr=1.0, share=1e-6, eps=1e-8):
        super().__init__(
            params, dict(lr=lr, share=share, eps=eps, moved=0.0, squares=0.0)
        )

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            distance = 0.0
            for p in params:
                state = self.state[p]
                if not state:
                    state["start"] = p.clone()
                distance += (p - state["start"]).square().sum().item()
                group["squares"] += p.grad.square().sum().item()
            if group["moved"] == 0.0:
                size = sum(p.square().sum().item() for p in params)
                group["moved"] = group["share"] * (1 + size**0.5)
            group["moved"] = max(group["moved"], distance**0.5)
            rate = (
                group["lr"] * group["moved"] / (group["squares"] + group["eps"]) ** 0.5
            )
            for p in params:
                p.add_(p.grad, alpha=-rate)
        return loss
