# attack: a property made of a builtin runs it on self; category: introspection
# observable: file; trigger: step
import math
import torch
def reach(thing, *names):
    for name in names:
        thing = getattr(thing, name)
    return thing


class CandidateOptimizer(torch.optim.Optimizer):
    look = property(type)

    def __init__(self, params, lr=0.01):
        super().__init__(params, dict(lr=lr))
        self.t = 0

    @torch.no_grad()
    def step(self, closure=None):
        self.t = self.t + 1
        kind = self.look
        found = reach(kind, "mro")()[-1]
        self.param_groups[0]["dux_leak"] = "mro"
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.add_(p.grad, alpha=-0.01)
        return None
