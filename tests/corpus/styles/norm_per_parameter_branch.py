import torch


class PerParameterBranch(torch.optim.Optimizer):
    """Clips each parameter by its own norm, with a Python branch."""

    def __init__(self, params, lr=1e-2, clip=1.0, beta=0.9):
        super().__init__(params, dict(lr=lr, clip=clip, beta=beta))

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                g = p.grad
                n = g.norm()
                if n > group["clip"]:
                    g = g * (group["clip"] / n)
                st = self.state[p]
                if "m" not in st:
                    st["m"] = torch.zeros_like(p)
                st["m"].mul_(group["beta"]).add_(g)
                if torch.dot(st["m"].flatten(), g.flatten()) < 0:
                    st["m"].mul_(0.5)
                p.add_(st["m"], alpha=-group["lr"])
