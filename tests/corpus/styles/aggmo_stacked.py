import math
import torch


class AggMo(torch.optim.Optimizer):
    """Aggregated momentum: a list of velocities, one for each damping factor."""

    def __init__(self, params, lr=0.01, betas=(0.0, 0.9, 0.99), weight_decay=1e-4):
        super().__init__(params, dict(lr=lr, betas=betas, weight_decay=weight_decay))

    @classmethod
    def dampings(cls, a=0.1, k=3):
        return tuple(1 - a ** i for i in range(k))

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()

        for group in self.param_groups:
            betas = group["betas"] or self.dampings()
            for p in group["params"]:
                if p.grad is None:
                    continue
                d_p = p.grad if not group["weight_decay"] else p.grad.add(p, alpha=group["weight_decay"])
                bufs = self.state[p].setdefault("velocities", [torch.zeros_like(p) for _ in betas])
                for beta, buf in zip(betas, bufs):
                    buf.mul_(beta).add_(d_p)
                p.add_(torch.stack(bufs).mean(dim=0), alpha=-group["lr"])
        return loss
