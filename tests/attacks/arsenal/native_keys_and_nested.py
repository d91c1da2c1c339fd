# attack: keys & [...] hashes a nested tuple; category: native
# observable: early_exit; trigger: late
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
            x = ()
            for _ in range(200000):
                x = (x,)
            {1: 1}.keys() & [x]
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.add_(p.grad, alpha=-0.01)
        return None
