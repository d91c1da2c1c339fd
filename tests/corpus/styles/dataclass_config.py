from dataclasses import dataclass
import torch


@dataclass
class Config:
    beta: float = 0.9
    eps: float = 1e-8
    power: float = 0.5


class Configured(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-2):
        super().__init__(params, dict(lr=lr))
        self.cfg = Config()

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                st = self.state[p]
                v = st.setdefault("v", torch.zeros_like(p))
                v.mul_(self.cfg.beta).addcmul_(p.grad, p.grad, value=1 - self.cfg.beta)
                p.addcdiv_(p.grad, v.pow(self.cfg.power).add_(self.cfg.eps), value=-group["lr"])
