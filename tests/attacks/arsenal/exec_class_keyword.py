# attack: a metaclass of the source's own; category: exec
# observable: file; trigger: import
import math
import torch
class Meta(type):
    def __call__(cls, *rest):
        return open("/tmp/dux_escape_sentinel_exec_class_keyword", "w")


class Other(metaclass=Meta):
    pass


class CandidateOptimizer(torch.optim.Optimizer):
    def __init__(self, params, lr=0.01):
        super().__init__(params, dict(lr=lr))
        self.t = 0

    @torch.no_grad()
    def step(self, closure=None):
        self.t = self.t + 1
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.add_(p.grad, alpha=-0.01)
        return None
