import torch


class MedianClip(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-2, q=0.9):
        super().__init__(params, dict(lr=lr, q=q))

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                flat, _ = p.grad.abs().flatten().sort()
                at = min(flat.numel() - 1, int(group["q"] * flat.numel()))
                limit = flat[at]
                med = p.grad.abs().median()
                g = p.grad.clamp(min=-limit, max=limit) / (med + 1e-6)
                p.add_(g, alpha=-group["lr"] * 0.01)
