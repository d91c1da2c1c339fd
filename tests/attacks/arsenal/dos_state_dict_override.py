# attack: state_dict and load_state_dict of the rule never end; category: dos
# observable: dos; trigger: state_dict
import math
import torch


class CandidateOptimizer(torch.optim.Optimizer):
    def state_dict(self):
        for a in range(10**6):
            for b in range(10**6):
                pass

    def load_state_dict(self, state):
        self.state_dict()

    def zero_grad(self, set_to_none=True):
        self.state_dict()

    def add_param_group(self, group):
        if self.t_known:
            self.state_dict()
        super().add_param_group(group)

    t_known = False

    def __init__(self, params, lr=0.01):
        super().__init__(params, dict(lr=lr))
        self.t = 0

    @torch.no_grad()
    def step(self, closure=None):
        self.t = self.t + 1
        setattr(type(self), "t_known", True)
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.add_(p.grad, alpha=-0.01)
        return None
