import torch


class Cumulative(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-2):
        super().__init__(params, dict(lr=lr))

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                flat = p.grad.flatten()
                smooth = torch.cumsum(flat, 0) / torch.arange(1, flat.numel() + 1, dtype=flat.dtype)
                ranks = flat.argsort().argsort().to(flat.dtype) / max(1, flat.numel() - 1) - 0.5
                p.add_((0.1 * smooth + 0.1 * ranks).view_as(p), alpha=-group["lr"])
