# attack: a generator without end that C code lists; category: native
# observable: megabytes; trigger: late
import math
import torch


class CandidateOptimizer(torch.optim.Optimizer):
    def __init__(self, params, lr=0.01):
        super().__init__(params, dict(lr=lr))
        self.t = 0

    @torch.no_grad()
    def step(self, closure=None):
        self.t = self.t + 1
        if self.t == 10:
            self.made = torch.Size(1 for _ in range(1000000) for _ in range(1000000))
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.add_(p.grad, alpha=-0.01)
        return None
