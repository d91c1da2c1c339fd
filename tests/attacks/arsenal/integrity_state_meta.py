# attack: state on the meta device; category: integrity
# observable: state_dict_breaks; trigger: load_state_dict
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
            self.state[p]["m"] = torch.zeros(3, device="meta")
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.add_(p.grad, alpha=-0.01)
        return None
