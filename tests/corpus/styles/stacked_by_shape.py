import torch
from collections import defaultdict
class Stacked(torch.optim.Optimizer):
    """groups parameters by shape and orthogonalises a batch of them at once"""
    def __init__(self, params, lr=0.02, mu=0.9): super().__init__(params, dict(lr=lr, mu=mu))
    @torch.no_grad()
    def step(self, closure=None):
        loss = closure() if closure else None
        for group in self.param_groups:
            by_shape = defaultdict(list)
            for p in group["params"]:
                if p.grad is not None: by_shape[p.shape].append(p)
            for shape, ps in by_shape.items():
                G = torch.stack([p.grad for p in ps])
                M = torch.stack([self.state[p].setdefault("m", torch.zeros_like(p)) for p in ps])
                M = group["mu"] * M + G
                for p, m in zip(ps, M.unbind(0)): self.state[p]["m"].copy_(m)
                if len(shape) == 2:
                    X = M / (M.norm(dim=(-2, -1), keepdim=True) + 1e-7)
                    for _ in range(3):
                        X = 1.5 * X - 0.5 * X @ X.transpose(-2, -1) @ X
                    U = X
                else:
                    U = M.sign() * 0.1
                for p, u in zip(ps, U): p.add_(u, alpha=-group["lr"])
        return loss
