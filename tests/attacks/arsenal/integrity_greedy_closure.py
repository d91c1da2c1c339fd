# attack: closures are hoarded and then called all at once; category: integrity
# observable: closure_calls; trigger: closure
import math
import torch


class CandidateOptimizer(torch.optim.Optimizer):
    def __init__(self, params, lr=0.01):
        super().__init__(params, dict(lr=lr))
        self.t = 0
        self.kept = []

    @torch.no_grad()
    def step(self, closure=None):
        self.t = self.t + 1
        if closure is not None:
            self.kept.append(closure)
            with torch.enable_grad():
                if len(self.kept) > 15:
                    for each in self.kept:
                        each()
                else:
                    closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.add_(p.grad, alpha=-0.01)
        return None
