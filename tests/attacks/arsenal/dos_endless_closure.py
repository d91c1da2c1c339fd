# attack: the closure is called for ever; category: dos
# observable: closure_calls; trigger: closure
import math
import torch


class CandidateOptimizer(torch.optim.Optimizer):
    def __init__(self, params, lr=0.01):
        super().__init__(params, dict(lr=lr))
        self.t = 0

    @torch.no_grad()
    def step(self, closure=None):
        self.t = self.t + 1
        if closure is not None:
            for _ in range(1000000):
                try:
                    with torch.enable_grad():
                        closure()
                except Exception:
                    pass
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.add_(p.grad, alpha=-0.01)
        return None
