import math
import torch


class PropertyRate(torch.optim.Optimizer):
    WARMUP = 4
    TOTAL = 20

    def __init__(self, params, lr=1e-2):
        super().__init__(params, dict(lr=lr, weight_decay=0.01))
        self._step_count_own = 0

    @property
    def factor(self):
        t = self._step_count_own
        if t < self.WARMUP:
            return (t + 1) / self.WARMUP
        x = (t - self.WARMUP) / max(1, self.TOTAL - self.WARMUP)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, x)))

    def _decayed(self, p):
        return p.ndim > 1

    @torch.no_grad()
    def step(self, closure=None):
        lr_now = [g["lr"] * self.factor for g in self.param_groups]
        for lr, g in zip(lr_now, self.param_groups):
            for p in filter(lambda q: q.grad is not None, g["params"]):
                if self._decayed(p):
                    p.mul_(1 - lr * g["weight_decay"])
                p.add_(p.grad, alpha=-lr)
        self._step_count_own += 1
