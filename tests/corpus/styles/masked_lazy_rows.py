import torch


class MaskedRows(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-2):
        super().__init__(params, dict(lr=lr))

    @torch.no_grad()
    def step(self, closure=None):
        for g in self.param_groups:
            for p in g["params"]:
                if p.grad is None:
                    continue
                v = self.state[p].setdefault("v", torch.zeros_like(p))
                mask = p.grad.abs() > 0.05
                v[mask] = 0.9 * v[mask] + 0.1 * p.grad[mask] ** 2
                p[mask] -= g["lr"] * p.grad[mask] / (v[mask].sqrt() + 1e-8)
