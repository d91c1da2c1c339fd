import math
import torch


class Bracketing(torch.optim.Optimizer):
    """Halves the step while it is longer than a trust radius."""

    def __init__(self, params, lr=0.5, radius=0.05):
        super().__init__(params, dict(lr=lr, radius=radius))

    @torch.no_grad()
    def step(self, closure=None):
        sq = 0.0
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    sq += p.grad.square().sum().item()
        rate, tries = self.param_groups[0]["lr"], 0
        while rate * math.sqrt(sq) > self.param_groups[0]["radius"] and tries < 12:
            rate *= 0.5
            tries += 1
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.add_(p.grad, alpha=-rate)
