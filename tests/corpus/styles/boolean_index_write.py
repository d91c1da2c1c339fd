import torch


class ZeroSmall(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-2, tau=0.05):
        super().__init__(params, dict(lr=lr, tau=tau))

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                g = p.grad.clone()
                g[g.abs() < group["tau"]] = 0
                p.data[p.data > 5.0] *= 0.5
                p.data -= group["lr"] * g
