import torch


class AutoClip(torch.optim.Optimizer):
    """Clips at a percentile of all gradient norms so far."""

    def __init__(self, params, lr=1e-2, percentile=0.5):
        super().__init__(params, dict(lr=lr, percentile=percentile))
        self.history = []

    @torch.no_grad()
    def step(self, closure=None):
        grads = [p.grad for g in self.param_groups for p in g["params"] if p.grad is not None]
        norm = float(torch.linalg.vector_norm(torch.stack([g.norm() for g in grads])))
        self.history.append(norm)
        ranked = sorted(self.history)
        limit = ranked[int(self.param_groups[0]["percentile"] * (len(ranked) - 1))]
        scale = min(1.0, limit / (norm + 1e-6))
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.add_(p.grad, alpha=-group["lr"] * scale)
