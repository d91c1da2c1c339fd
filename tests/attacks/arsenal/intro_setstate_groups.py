# attack: __setstate__ of a child gives the rule other groups; category: introspection
# observable: params_dropped; trigger: late
import math
import torch


class CandidateOptimizer(torch.optim.Optimizer):
    def __init__(self, params, lr=0.01):
        super().__init__(params, dict(lr=lr))
        self.t = 0

    def __setstate__(self, state):
        super().__setstate__(state)

    @torch.no_grad()
    def step(self, closure=None):
        self.t = self.t + 1
        if self.t == 9:
            CandidateOptimizer.__setstate__(self, {"param_groups": [], "state": {}})
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.add_(p.grad, alpha=-0.01)
        return None
