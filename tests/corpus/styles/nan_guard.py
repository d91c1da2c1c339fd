import torch


class NaNGuard(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-2):
        super().__init__(params, dict(lr=lr))
        self.bad = 0

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                if not torch.isfinite(p.grad).all():
                    self.bad += 1
                    continue
                if torch.isnan(p.grad).any() or torch.isinf(p.grad).any():
                    continue
                g = torch.nan_to_num(p.grad, nan=0.0, posinf=1.0, neginf=-1.0)
                p.add_(g, alpha=-group["lr"])
