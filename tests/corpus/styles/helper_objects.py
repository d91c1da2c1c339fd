import math
import torch


class Ema:
    def __init__(self, beta):
        self.beta = beta
        self.value = 0.0
        self.weight = 0.0

    def update(self, x):
        self.value = self.beta * self.value + (1 - self.beta) * x
        self.weight = self.beta * self.weight + (1 - self.beta)
        return self.value / self.weight


class HelperRule(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-2):
        super().__init__(params, dict(lr=lr))
        self.ema = Ema(0.9)

    @torch.no_grad()
    def step(self, closure=None):
        norm = math.sqrt(sum(p.grad.pow(2).sum().item() for g in self.param_groups for p in g["params"] if p.grad is not None))
        mean = self.ema.update(norm)
        for g in self.param_groups:
            for p in g["params"]:
                if p.grad is not None:
                    p.add_(p.grad, alpha=-g["lr"] * min(1.0, mean / (norm + 1e-12)))
