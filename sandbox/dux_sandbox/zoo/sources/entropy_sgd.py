"""Entropy-SGD: towards the mean of a walk around the weights, into wide valleys.

    `walk` times, from x = mean = w:
        x = x - rate (g(x) - gamma (w - x)) + sqrt(rate) noise N(0, 1)
        mean = (1 - alpha) mean + alpha x
    w = w - lr (w - mean)

Paper: Chaudhari et al., Entropy-SGD: biasing gradient descent into wide valleys,
arXiv 1611.01838.
State: nothing between steps; 2 numbers a weight within one.

dux: needs-closure, stochastic
"""

import torch
from torch.optim import Optimizer


class EntropySGD(Optimizer):
    def __init__(
        self, params, lr=1.0, walk=5, rate=0.1, gamma=0.03, noise=1e-4, alpha=0.75
    ):
        super().__init__(
            params,
            dict(lr=lr, walk=walk, rate=rate, gamma=gamma, noise=noise, alpha=alpha),
        )

    @torch.no_grad()
    def step(self, closure=None):
        if closure is None:
            raise ValueError(
                "EntropySGD looks around: give step a closure that computes gradients"
            )
        with torch.enable_grad():
            loss = closure()
        groups = [
            (group, [p for p in group["params"] if p.grad is not None])
            for group in self.param_groups
        ]
        starts = [[p.clone() for p in params] for _, params in groups]
        means = [[p.clone() for p in params] for _, params in groups]
        for number in range(max(group["walk"] for group in self.param_groups)):
            if number:
                with torch.enable_grad():
                    closure()
            for (group, params), start, mean in zip(groups, starts, means, strict=True):
                if number >= group["walk"]:
                    continue
                for p, at, middle in zip(params, start, mean, strict=True):
                    pull = p.grad - group["gamma"] * (at - p)
                    p.sub_(pull, alpha=group["rate"])
                    p.add_(
                        torch.randn_like(p), alpha=group["rate"] ** 0.5 * group["noise"]
                    )
                    middle.lerp_(p, group["alpha"])
        for (group, params), start, mean in zip(groups, starts, means, strict=True):
            for p, at, middle in zip(params, start, mean, strict=True):
                p.copy_(at.lerp(middle, group["lr"]))
        return loss
