# attack: a product of 3.6 GB, its factors by name and in the other order; category: native
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
            tall, wide = torch.ones(30000, 1), torch.ones(1, 30000)
            self.made = torch.mm(mat2=wide, input=tall)
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.add_(p.grad, alpha=-0.01)
        return None
