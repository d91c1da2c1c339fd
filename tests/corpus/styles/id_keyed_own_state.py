import torch
from collections import defaultdict


class IdKeyed(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-2, beta=0.9):
        super().__init__(params, dict(lr=lr, beta=beta))
        self._bufs = defaultdict(dict)

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if (g := p.grad) is None:
                    continue
                buf = self._bufs[id(p)]
                if "m" not in buf:
                    buf["m"] = torch.zeros_like(p)
                buf["m"].mul_(group["beta"]).add_(g)
                p.add_(buf["m"], alpha=-group["lr"])
