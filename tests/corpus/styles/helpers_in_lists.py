from collections import deque

import torch


class Meter:
    """A running mean of the norms of one parameter's gradient."""

    def __init__(self, beta):
        self.beta = beta
        self.value = 0.0
        self.count = 0

    def update(self, norm):
        self.count += 1
        self.value = self.beta * self.value + (1 - self.beta) * norm
        return self.value / (1 - self.beta**self.count)


class HelpersInLists(torch.optim.Optimizer):
    """Steps of a length that goes by the mean norm, of a helper for each parameter."""

    def __init__(self, params, lr=1e-2):
        super().__init__(params, dict(lr=lr))
        every = [p for group in self.param_groups for p in group["params"]]
        self.meters = [Meter(0.9) for _ in every]
        self.recent = [deque(maxlen=3) for _ in every]
        self.slow = {}

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        at = 0
        for group in self.param_groups:
            for p in group["params"]:
                meter, recent = self.meters[at], self.recent[at]
                at += 1
                if p.grad is None:
                    continue
                if at not in self.slow:
                    self.slow[at] = Meter(0.99)
                norm = p.grad.norm()
                recent.append(norm)
                long = self.slow[at].update(norm)
                scale = (meter.update(norm) + sum(recent) / len(recent) + long) / 3
                p.add_(p.grad / (scale + 1e-8), alpha=-group["lr"])
        return loss
