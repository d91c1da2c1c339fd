# attack: super(kind, self) skips the guard's own class; category: introspection
# observable: file; trigger: step
import math
import torch


class CandidateOptimizer(torch.optim.Optimizer):
    def __init__(self, params, lr=0.01):
        super().__init__(params, dict(lr=lr))
        self.t = 0

    @torch.no_grad()
    def step(self, closure=None):
        self.t = self.t + 1
        get = getattr(super(torch.optim.Optimizer, self), "_" + "_getattribute_" + "_")
        get("_" + "_dict_" + "_")["param_groups"].clear()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.add_(p.grad, alpha=-0.01)
        return None
