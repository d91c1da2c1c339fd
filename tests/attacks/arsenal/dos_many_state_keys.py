# attack: a hundred thousand keys in the state; category: dos
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
        if self.t == 1:
            for index in range(100000):
                self.state[p]["k" + str(index)] = index
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.add_(p.grad, alpha=-0.01)
        return None
