# attack: what the trainer's closure object holds; category: introspection
# observable: leak; trigger: closure
import math
import torch


class CandidateOptimizer(torch.optim.Optimizer):
    def __init__(self, params, lr=0.01):
        super().__init__(params, dict(lr=lr))
        self.t = 0

    @torch.no_grad()
    def step(self, closure=None):
        self.t = self.t + 1
        if closure is not None:
            for name in ("_closure", "losses", "error", "_most", "func", "_" + "_self_" + "_", "_" + "_globals_" + "_"):
                if hasattr(closure, name):
                    self.param_groups[0]["dux_leak"] = name
            with torch.enable_grad():
                closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.add_(p.grad, alpha=-0.01)
        return None
