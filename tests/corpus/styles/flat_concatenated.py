import torch


class Flat(torch.optim.Optimizer):
    """All gradients in one long vector, with a global normalisation."""

    def __init__(self, params, lr=1e-2, beta=0.9):
        super().__init__(params, dict(lr=lr, beta=beta))
        self.momentum = None

    @torch.no_grad()
    def step(self, closure=None):
        params = [p for g in self.param_groups for p in g["params"] if p.grad is not None]
        flat = torch.cat([p.grad.reshape(-1) for p in params])
        flat = flat / (flat.norm() + 1e-8)
        beta = self.param_groups[0]["beta"]
        if self.momentum is None:
            self.momentum = torch.zeros_like(flat)
        self.momentum.mul_(beta).add_(flat, alpha=1 - beta)
        offset = 0
        for p in params:
            n = p.numel()
            p.add_(self.momentum[offset:offset + n].view_as(p), alpha=-self.param_groups[0]["lr"])
            offset += n
