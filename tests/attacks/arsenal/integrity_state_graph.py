# attack: state that hangs on a graph cannot be copied; category: integrity
# observable: state_dict_breaks; trigger: deepcopy
import math
import torch


class CandidateOptimizer(torch.optim.Optimizer):
    def __init__(self, params, lr=0.01):
        super().__init__(params, dict(lr=lr))
        self.t = 0

    def step(self, closure=None):
        self.t = self.t + 1
        with torch.enable_grad():
            for p in self.param_groups[0]["params"]:
                self.state[p]["g"] = p * 2.0
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.data.add_(p.grad, alpha=-0.01)
        return None
