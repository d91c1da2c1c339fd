# attack: state that is one number here and 256 MiB when it is fetched; category: dos
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
        for p in self.param_groups[0]["params"]:
            if len(self.state[p]) == 0:
                self.state[p]["wide"] = torch.zeros(1).expand(2**24)
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.add_(p.grad, alpha=-0.01)
        return None
