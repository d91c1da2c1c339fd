# attack: a mixin brings a step that no door closes, and leaves the mode changed; category: torch
# observable: grad_mode; trigger: step
import torch


class Mixin:
    def step(self, closure=None):
        off = torch.no_grad()
        with off:
            with off:
                pass
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.data.add_(p.grad, alpha=-0.01)


class Before(torch.optim.SGD):
    pass


class Between(Mixin, torch.optim.SGD):
    pass


class CandidateOptimizer(Before, Between):
    def __init__(self, params, lr=0.01):
        super().__init__(params, lr=lr)
