from collections import deque
from statistics import mean
import torch


class HistoryScaled(torch.optim.Optimizer):
    def __init__(self, params, lr=0.02, window=8):
        super().__init__(params, dict(lr=lr))
        self.norms = deque(maxlen=window)

    @torch.no_grad()
    def step(self, closure=None):
        loss = closure() if closure is not None else None
        sq = [p.grad.pow(2).sum() for g in self.param_groups for p in g["params"] if p.grad is not None]
        norm = torch.sqrt(sum(sq)).item()
        self.norms.append(norm)
        scale = mean(self.norms) / max(norm, 1e-8)
        for g in self.param_groups:
            for p in g["params"]:
                if p.grad is not None:
                    p.add_(p.grad, alpha=-g["lr"] * min(scale, 2.0))
        return loss
