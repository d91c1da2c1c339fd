"""Sophia-G: momentum over a curvature that is looked at now and then, clipped.

    m = b1 m + (1 - b1) g
    h = b2 h + (1 - b2) batch g^2       (every `period` steps, from the first on)
    w = (1 - lr decay) w - lr clip(m / (rho h + eps), -1, 1)

The paper draws labels from the model for h; a rule sees the gradient of the true
ones, and takes that.

Paper: Liu et al., Sophia: a scalable stochastic second-order optimizer for language
model pre-training, arXiv 2305.14342.
State: 2 numbers a weight.
"""

import torch
from torch.optim import Optimizer


class SophiaG(Optimizer):
    def __init__(
        self,
        params,
        lr=1e-3,
        betas=(0.965, 0.99),
        rho=0.04,
        batch=32,
        period=10,
        eps=1e-12,
        weight_decay=0.0,
    ):
        super().__init__(
            params,
            dict(
                lr=lr,
                betas=betas,
                rho=rho,
                batch=batch,
                period=period,
                eps=eps,
                weight_decay=weight_decay,
            ),
        )

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
                    state["mean"] = torch.zeros_like(p)
                    state["square"] = torch.zeros_like(p)
                state["step"] += 1
                step, mean, square = state["step"], state["mean"], state["square"]
                beta1, beta2 = group["betas"]
                mean.lerp_(p.grad, 1 - beta1)
                if step % group["period"] == 1 or group["period"] == 1:
                    square.mul_(beta2)
                    square.addcmul_(p.grad, p.grad, value=(1 - beta2) * group["batch"])
                step_size = mean.div(
                    square.mul(group["rho"]).add_(group["eps"])
                ).clamp_(-1, 1)
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(step_size, alpha=-group["lr"])
        return loss
