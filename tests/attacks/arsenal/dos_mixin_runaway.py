# attack: a mixin brings a step that no door closes, and runs away; category: dos
# observable: dos; trigger: late
import torch


class Mixin:
    t = 0

    def step(self, closure=None):
        self.t = self.t + 1
        while self.t > 8:
            self.t = self.t + 1
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
