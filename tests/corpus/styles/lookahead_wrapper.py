import torch


class Lookahead(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-2, momentum=0.9, k=4, alpha=0.5):
        super().__init__(params, dict(lr=lr, momentum=momentum, k=k, alpha=alpha))
        self._counter = 0

    @torch.no_grad()
    def _sync(self):
        for group in self.param_groups:
            for p in group["params"]:
                st = self.state[p]
                if "slow" not in st:
                    continue
                st["slow"] += group["alpha"] * (p - st["slow"])
                p.data.copy_(st["slow"])

    @torch.no_grad()
    def step(self, closure=None):
        loss = closure() if closure is not None else None
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                st = self.state[p]
                if "slow" not in st:
                    st["slow"] = p.data.clone().detach()
                    st["buf"] = torch.zeros_like(p)
                st["buf"].mul_(group["momentum"]).add_(p.grad)
                p.add_(st["buf"], alpha=-group["lr"])
        self._counter += 1
        if self._counter % self.param_groups[0]["k"] == 0:
            self._sync()
        return loss
