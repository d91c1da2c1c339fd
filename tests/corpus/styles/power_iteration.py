import torch


class SpectralClip(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-2, iters=2):
        super().__init__(params, dict(lr=lr, iters=iters))

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                g = p.grad
                st = self.state[p]
                if p.ndim == 2:
                    if "u" not in st:
                        st["u"] = torch.ones(p.shape[0]) / p.shape[0] ** 0.5
                    u = st["u"]
                    for _ in range(group["iters"]):
                        v = torch.nn.functional.normalize(torch.mv(g.t(), u), dim=0, eps=1e-12)
                        u = torch.nn.functional.normalize(torch.mv(g, v), dim=0, eps=1e-12)
                    st["u"].copy_(u)
                    sigma = u @ g @ v
                    g = g / sigma.clamp_min(1.0)
                p.add_(g, alpha=-group["lr"])
