# attack: one no_grad object entered twice forgets the mode outside; category: torch
# observable: grad_mode; trigger: step
import math
import torch


class CandidateOptimizer(torch.optim.Optimizer):
    def __init__(self, params, lr=0.01):
        super().__init__(params, dict(lr=lr))
        self.t = 0

    def step(self, closure=None):
        self.t = self.t + 1
        off = torch.no_grad()
        with off:
            with off:
                pass
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.data.add_(p.grad, alpha=-0.01)
        return None
