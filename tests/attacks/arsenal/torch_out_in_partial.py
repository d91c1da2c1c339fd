# attack: out= comes through functools.partial; category: torch
# observable: param_identity; trigger: step
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
        p = self.param_groups[0]["params"][0]
        options = dict([("o" + "ut", p.data)])
        partial(torch.cat, [p.flatten(), p.flatten()], **options)()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.add_(p.grad, alpha=-0.01)
        return None
