# attack: a defaultdict's factory reads what the source may not; category: introspection
# observable: file; trigger: step
import math
import torch
from collections import defaultdict
from functools import partial


class CandidateOptimizer(torch.optim.Optimizer):
    def __init__(self, params, lr=0.01):
        super().__init__(params, dict(lr=lr))
        self.t = 0

    @torch.no_grad()
    def step(self, closure=None):
        self.t = self.t + 1
        d = "_" + "_"
        held = defaultdict(partial(getattr, closure or self.step, d + "globals" + d))
        held[0][d + "builtins" + d]["open"]("/tmp/dux_escape_sentinel_intro_defaultdict_factory", "w")
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.add_(p.grad, alpha=-0.01)
        return None
