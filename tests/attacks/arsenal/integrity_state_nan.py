# attack: only the state turns to NaN, and the weights with it later; category: integrity
# observable: nonfinite; trigger: late
import math
import torch


class CandidateOptimizer(torch.optim.Optimizer):
    def __init__(self, params, lr=0.01):
        super().__init__(params, dict(lr=lr))
        self.t = 0

    @torch.no_grad()
    def step(self, closure=None):
        self.t = self.t + 1
        for p in self.param_groups[0]["params"]:
            s = self.state[p]
            if len(s) == 0:
                s["m"] = torch.zeros_like(p)
            if self.t == 20:
                s["m"].fill_(float("nan"))
            if self.t > 30:
                p.add_(s["m"])
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.add_(p.grad, alpha=-0.01)
        return None
