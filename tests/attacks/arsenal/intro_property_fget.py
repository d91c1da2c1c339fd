# attack: property.fget leads to a function and its globals; category: introspection
# observable: file; trigger: step
import math
import torch


class CandidateOptimizer(torch.optim.Optimizer):
    @property
    def inner(self):
        return 1

    def __init__(self, params, lr=0.01):
        super().__init__(params, dict(lr=lr))
        self.t = 0

    @torch.no_grad()
    def step(self, closure=None):
        self.t = self.t + 1
        getter = getattr(getattr(type(self), "inner"), "f" + "get")
        getattr(getter, "_" + "_globals_" + "_")["x"]
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.add_(p.grad, alpha=-0.01)
        return None
