import torch
import torch.nn.functional as F


class CosineRate(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-2, beta=0.9, lo=0.2, hi=2.0):
        super().__init__(params, dict(lr=lr, beta=beta, lo=lo, hi=hi))
        self.rates = {}

    @torch.no_grad()
    def step(self, closure=None):
        for gi, group in enumerate(self.param_groups):
            for pi, p in enumerate(group["params"]):
                if p.grad is None:
                    continue
                st = self.state[p]
                if "m" not in st:
                    st["m"] = p.grad.clone()
                    self.rates[(gi, pi)] = 1.0
                cos = F.cosine_similarity(st["m"].flatten(), p.grad.flatten(), dim=0).item()
                rate = self.rates[(gi, pi)] * (1 + 0.1 * cos)
                rate = max(group["lo"], min(group["hi"], rate))
                self.rates[(gi, pi)] = rate
                st["m"].mul_(group["beta"]).add_(p.grad, alpha=1 - group["beta"])
                p.add_(st["m"], alpha=-group["lr"] * rate)
