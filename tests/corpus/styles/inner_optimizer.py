import torch


class EMAWrapped(torch.optim.Optimizer):
    """torch's own Adam inside, an average of the weights outside."""

    def __init__(self, params, lr=1e-3, decay=0.99):
        super().__init__(params, dict(lr=lr, decay=decay))
        self.inner = torch.optim.Adam(self.param_groups, lr=lr)

    @torch.no_grad()
    def step(self, closure=None):
        self.inner.step()
        for group in self.param_groups:
            for p in group["params"]:
                st = self.state[p]
                if "ema" not in st:
                    st["ema"] = p.detach().clone()
                st["ema"].lerp_(p, 1 - group["decay"])
