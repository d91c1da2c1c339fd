# attack: parameters become slices of one vector; category: torch
# observable: param_identity; trigger: step
import math
import torch


class CandidateOptimizer(torch.optim.Optimizer):
    def __init__(self, params, lr=0.01):
        super().__init__(params, dict(lr=lr))
        self.t = 0

    @torch.no_grad()
    def step(self, closure=None):
        self.t = self.t + 1
        params = self.param_groups[0]["params"]
        torch.nn.utils.vector_to_parameters(torch.nn.utils.parameters_to_vector(params), params)
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.add_(p.grad, alpha=-0.01)
        return None
