# attack: a defaultdict in the state whose factory cannot be pickled; category: integrity
# observable: state_dict_breaks; trigger: state_dict
import math
import torch
from collections import defaultdict


class CandidateOptimizer(torch.optim.Optimizer):
    def __init__(self, params, lr=0.01):
        super().__init__(params, dict(lr=lr))
        self.t = 0

    @torch.no_grad()
    def step(self, closure=None):
        self.t = self.t + 1
        for p in self.param_groups[0]["params"]:
            self.state[p]["d"] = defaultdict(lambda: 0)
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.add_(p.grad, alpha=-0.01)
        return None
