from dataclasses import dataclass, field
import torch
@dataclass
class Stats:
    step: int = 0
    ema: float = 0.0
    peaks: list[float] = field(default_factory=list)
    def update(self, value: float, beta: float = 0.9) -> float:
        self.step += 1
        self.ema = beta * self.ema + (1 - beta) * value
        if len(self.peaks) < 4 or value > min(self.peaks):
            self.peaks = sorted([*self.peaks, value])[-4:]
        return self.ema / (1 - beta ** self.step)
class DS(torch.optim.Optimizer):
    def __init__(self, params, lr=0.05):
        super().__init__(params, dict(lr=lr)); self.stats = Stats()
    @torch.no_grad()
    def step(self, closure=None):
        loss = closure() if closure else None
        n = sum(p.grad.square().sum().item() for g in self.param_groups for p in g["params"] if p.grad is not None) ** 0.5
        ref = self.stats.update(n)
        scale = min(1.0, ref / max(n, 1e-12)) * (0.5 if n >= self.stats.peaks[-1] else 1.0)
        for g in self.param_groups:
            for p in g["params"]:
                if p.grad is not None: p.add_(p.grad, alpha=-g["lr"] * scale)
        return loss
