# attack: deques that swallow each other overflow the C stack when they go; category: native
# observable: early_exit; trigger: late
import math
import torch

from collections import deque


class CandidateOptimizer(torch.optim.Optimizer):
    def __init__(self, params, lr=0.01):
        super().__init__(params, dict(lr=lr))
        self.t = 0

    @torch.no_grad()
    def step(self, closure=None):
        self.t = self.t + 1
        if self.t == 10:
            x = deque()
            for _ in range(400000):
                y = deque()
                y.append(x)
                x = y
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.add_(p.grad, alpha=-0.01)
        return None
