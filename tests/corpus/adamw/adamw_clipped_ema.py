import math
import torch


class AdamWClippedEMA(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-4, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01,
                 clip=1.0, decay=0.999):
        super().__init__(params, dict(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay,
                                      clip=clip, decay=decay))

    @torch.no_grad()
    def step(self, closure=None):
        loss = closure() if closure is not None else None
        total = 0.0
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    total += float(p.grad.pow(2).sum())
        norm = math.sqrt(total)
        scale = min(1.0, self.param_groups[0]["clip"] / (norm + 1e-6))
        for group in self.param_groups:
            b1, b2 = group["betas"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                g = p.grad * scale
                state = self.state[p]
                if not state:
                    state["step"] = 0
                    state["m"] = torch.zeros_like(p)
                    state["v"] = torch.zeros_like(p)
                    state["ema"] = p.detach().clone()
                state["step"] += 1
                t = state["step"]
                m, v = state["m"], state["v"]
                p.mul_(1 - group["lr"] * group["weight_decay"])
                m.mul_(b1).add_(g, alpha=1 - b1)
                v.mul_(b2).addcmul_(g, g, value=1 - b2)
                denom = (v / (1 - b2 ** t)).sqrt().add_(group["eps"])
                p.addcdiv_(m, denom, value=-group["lr"] / (1 - b1 ** t))
                state["ema"].mul_(group["decay"]).add_(p, alpha=1 - group["decay"])
        return loss
