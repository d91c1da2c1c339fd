# attack: type() of every kind of object, and its attributes; category: introspection
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
        for thing in (print, torch, torch.Tensor, torch.add, self.step, type, iter([]), closure, ...):
            kind = type(thing)
            for name in ("mro", "_" + "_subclasses_" + "_", "_" + "_dict_" + "_", "_" + "_base_" + "_"):
                if hasattr(kind, name):
                    self.param_groups[0]["dux_leak"] = name
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.add_(p.grad, alpha=-0.01)
        return None
