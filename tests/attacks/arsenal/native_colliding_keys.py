# attack: a set of integers that have one hash; category: native
# observable: held; trigger: late
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
            x = set([(2 ** 61 - 1) * i for i in range(150000)])
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.add_(p.grad, alpha=-0.01)
        return None
