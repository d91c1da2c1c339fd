import torch


class QuantileClip(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-2, q=0.95):
        super().__init__(params, dict(lr=lr, q=q))

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                limit = torch.quantile(p.grad.abs(), group["q"])
                g = torch.clamp(p.grad, -limit, limit)
                p.sub_(group["lr"] * g)
