# attack: functools.partial holds getattr, called by sorted as its key; category: introspection
# observable: file; trigger: step
import math
import torch
from functools import partial


class CandidateOptimizer(torch.optim.Optimizer):
    def __init__(self, params, lr=0.01):
        super().__init__(params, dict(lr=lr))
        self.t = 0

    @torch.no_grad()
    def step(self, closure=None):
        self.t = self.t + 1
        d = "_" + "_"
        kept = []
        sorted([d + "dict" + d], key=lambda name: kept.append(partial(getattr, self)(name)) or 0)
        kept[0]["param_groups"].clear()
        kept[0]["step"] = 1
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.add_(p.grad, alpha=-0.01)
        return None
