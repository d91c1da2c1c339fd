# attack: out comes by position where Python functions take it so; category: torch
# observable: param_identity; trigger: step
import math
import torch


class CandidateOptimizer(torch.optim.Optimizer):
    def __init__(self, params, lr=0.01):
        super().__init__(params, dict(lr=lr))
        self.t = 0

    @torch.no_grad()
    def step(self, closure=None):
        self.t = self.t + 1
        p = self.param_groups[0]["params"][0]
        torch.norm(torch.ones(50, 50), 2, 0, False, p.data)
        torch.tensordot(torch.ones(9, 3), torch.ones(3, 9), 1, p.data)
        torch.nn.functional.normalize(torch.ones(9, 9), 2.0, 1, 1e-12, p.data)
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.add_(p.grad, alpha=-0.01)
        return None
