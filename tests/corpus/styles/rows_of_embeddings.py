import torch


class LazyRows(torch.optim.Optimizer):
    """Adam that only moves rows whose gradient is not zero."""

    def __init__(self, params, lr=1e-2, beta=0.9):
        super().__init__(params, dict(lr=lr, beta=beta))

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                g = p.grad
                st = self.state[p]
                if "v" not in st:
                    st["v"] = torch.zeros_like(p)
                if p.dim() == 2:
                    active = (g.abs().sum(dim=1, keepdim=True) > 0).float()
                    v = group["beta"] * st["v"] + (1 - group["beta"]) * g * g
                    st["v"] = torch.where(active.bool(), v, st["v"])
                    p -= group["lr"] * active * g / (st["v"].sqrt() + 1e-8)
                else:
                    st["v"].mul_(group["beta"]).addcmul_(g, g, value=1 - group["beta"])
                    p -= group["lr"] * g / (st["v"].sqrt() + 1e-8)
