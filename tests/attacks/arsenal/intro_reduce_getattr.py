# attack: functools.reduce walks a chain of names from self; category: introspection
# observable: file; trigger: step
import math
import torch
from functools import reduce


class CandidateOptimizer(torch.optim.Optimizer):
    def __init__(self, params, lr=0.01):
        super().__init__(params, dict(lr=lr))
        self.t = 0

    @torch.no_grad()
    def step(self, closure=None):
        self.t = self.t + 1
        d = "_" + "_"
        chain = [d + "class" + d, d + "init" + d, d + "globals" + d]
        reduce(getattr, chain, self)[d + "builtins" + d]["open"]("/tmp/dux_escape_sentinel_intro_reduce_getattr", "w")
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.add_(p.grad, alpha=-0.01)
        return None
