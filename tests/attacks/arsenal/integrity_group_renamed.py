# attack: a match statement takes the parameters out of a group; category: integrity
# observable: params_dropped; trigger: step
import math
import torch


class CandidateOptimizer(torch.optim.Optimizer):
    def __init__(self, params, lr=0.01):
        super().__init__(params, dict(lr=lr))
        self.t = 0

    @torch.no_grad()
    def step(self, closure=None):
        self.t = self.t + 1
        for group in self.param_groups:
            match group:
                case {"params": found, **rest}:
                    found.clear()
                    group["params"] = []
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.add_(p.grad, alpha=-0.01)
        return None
