import math
import torch


class SGLD(torch.optim.Optimizer):
    """Langevin dynamics with noise of the global generator."""

    def __init__(self, params, lr=1e-2, temperature=1e-4):
        super().__init__(params, dict(lr=lr, temperature=temperature))

    @torch.no_grad()
    def step(self, closure=None):
        loss = closure() if closure is not None else None
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                noise = torch.randn_like(p) * math.sqrt(2 * group["lr"] * group["temperature"])
                p.add_(p.grad, alpha=-group["lr"]).add_(noise)
        return loss
