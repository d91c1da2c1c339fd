import torch
from torch.nn.utils import parameters_to_vector, vector_to_parameters


class VectorRule(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-2):
        super().__init__(params, dict(lr=lr))

    @torch.no_grad()
    def step(self, closure=None):
        params = [p for g in self.param_groups for p in g["params"] if p.grad is not None]
        w = parameters_to_vector(params)
        g = torch.cat([p.grad.view(-1) for p in params])
        vector_to_parameters(w - self.param_groups[0]["lr"] * g.sign(), params)
