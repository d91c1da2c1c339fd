import math
import torch


class AdamW(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-4, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
        super().__init__(params, dict(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self, closure=None):
        loss = closure() if closure is not None else None
        for group in self.param_groups:
            b1, b2 = group["betas"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                g = p.grad
                state = self.state[p]
                if not state:
                    state["step"] = 0
                    state["m"] = torch.zeros_like(p)
                    state["v"] = torch.zeros_like(p)
                state["step"] += 1
                t = state["step"]
                m = b1 * state["m"] + (1 - b1) * g
                v = b2 * state["v"] + (1 - b2) * g * g
                state["m"], state["v"] = m, v
                m_hat = m / (1 - b1 ** t)
                v_hat = v / (1 - b2 ** t)
                update = m_hat / (v_hat.sqrt() + group["eps"]) + group["weight_decay"] * p
                p.copy_(p - group["lr"] * update)
        return loss
