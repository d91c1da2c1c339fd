# attack: type with three arguments, through a second name; category: exec
# observable: leak; trigger: step
import math
import torch


class CandidateOptimizer(torch.optim.Optimizer):
    def __init__(self, params, lr=0.01):
        super().__init__(params, dict(lr=lr))
        self.t = 0

    @torch.no_grad()
    def step(self, closure=None):
        self.t = self.t + 1
        make = type
        made = make("X", (object,), {"_" + "_reduce_" + "_": lambda self: (print, ())})
        self.param_groups[0]["dux_leak"] = "made"
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.add_(p.grad, alpha=-0.01)
        return None
