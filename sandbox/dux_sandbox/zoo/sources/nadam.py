"""NAdam: Adam with Nesterov momentum that is warmed up.

    u_t = b1 (1 - 0.96^(0.004 t) / 2)
    m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2
    w = w - lr ((1 - u_t) g / (1 - u_1 ... u_t) + u_(t+1) m / (1 - u_1 ... u_(t+1)))
              / (sqrt(v / (1 - b2^t)) + eps)

Paper: Dozat, Incorporating Nesterov momentum into Adam, 2016.
State: 2 numbers a weight.
"""

import torch
from torch.optim import Optimizer


class NAdam(Optimizer):
    def __init__(self, params, lr=2e-3, betas=(0.9, 0.999), eps=1e-8):
        super().__init__(params, dict(lr=lr, betas=betas, eps=eps))

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["step"] = 0
                    state["product"] = 1.0
                    state["mean"] = torch.zeros_like(p)
                    state["square"] = torch.zeros_like(p)
                state["step"] += 1
                step, mean, square = state["step"], state["mean"], state["square"]
                beta1, beta2 = group["betas"]
                now = beta1 * (1 - 0.5 * 0.96 ** (0.004 * step))
                then = beta1 * (1 - 0.5 * 0.96 ** (0.004 * (step + 1)))
                state["product"] *= now
                mean.lerp_(p.grad, 1 - beta1)
                square.mul_(beta2).addcmul_(p.grad, p.grad, value=1 - beta2)
                scale = square.div(1 - beta2**step).sqrt_().add_(group["eps"])
                share = (1 - now) / (1 - state["product"])
                p.addcdiv_(p.grad, scale, value=-group["lr"] * share)
                share = then / (1 - state["product"] * then)
                p.addcdiv_(mean, scale, value=-group["lr"] * share)
        return loss
