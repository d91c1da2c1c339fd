# attack: a torch optimizer inside forgets the live gradients; category: torch
# observable: requires_grad; trigger: step
import math
import torch


class CandidateOptimizer(torch.optim.Optimizer):
    def __init__(self, params, lr=0.01):
        super().__init__(params, dict(lr=lr))
        self.t = 0

    @torch.no_grad()
    def step(self, closure=None):
        self.t = self.t + 1
        inner = torch.optim.SGD([p for g in self.param_groups for p in g["params"]], lr=0.01)
        inner.zero_grad(set_to_none=False)
        inner.zero_grad(set_to_none=True)
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.add_(p.grad, alpha=-0.01)
        return None
