# attack: a class pattern reads attributes without a guard; category: introspection
# observable: file; trigger: step
import math
import torch


class CandidateOptimizer(torch.optim.Optimizer):
    def __init__(self, params, lr=0.01):
        super().__init__(params, dict(lr=lr))
        self.t = 0

    @torch.no_grad()
    def step(self, closure=None):
        self.t = self.t + 1
        match self.step:
            case object(__globals__=found):
                found["__builtins__"]["open"]("/tmp/dux_escape_sentinel_intro_match_class", "w")
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.add_(p.grad, alpha=-0.01)
        return None
