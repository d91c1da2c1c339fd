"""NorMuon: Muon, with each row divided by the root of its own second moment.

    m = b m + (1 - b) g;  o = orthogonalized(b m + (1 - b) g)
    v = b2 v + (1 - b2) mean of o^2 over each row
    u = o / (sqrt(v) + eps);  u = u |o| / |u|
    w = (1 - lr decay) w - lr sqrt(max(1, rows / columns)) u

Vectors take the momentum as it is: give them to AdamW where you can.

Paper: Li et al., NorMuon: making Muon more efficient and scalable, arXiv
2510.05491.
State: 1 number a weight and one a row.
"""

import math

import torch
from torch.optim import Optimizer


def orthogonalized(matrix, steps):
    """A matrix with its singular values near 1, by Newton-Schulz iterations."""
    x = matrix.to(torch.bfloat16)
    flip = x.shape[0] > x.shape[1]
    if flip:
        x = x.T
    x = x / x.norm().clamp(min=1e-7)
    for _ in range(steps):
        gram = x @ x.T
        second = torch.addmm(gram, gram, gram, beta=-4.7750, alpha=2.0315)
        x = torch.addmm(x, second, x, beta=3.4445)
    return x.T if flip else x


class NorMuon(Optimizer):
    def __init__(
        self,
        params,
        lr=0.02,
        momentum=0.95,
        beta=0.95,
        weight_decay=0.0,
        steps=5,
        eps=1e-10,
    ):
        super().__init__(
            params,
            dict(
                lr=lr,
                momentum=momentum,
                beta=beta,
                weight_decay=weight_decay,
                steps=steps,
                eps=eps,
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
                if p.numel() == 0:
                    continue
                state = self.state[p]
                if not state:
                    state["mean"] = torch.zeros_like(p)
                    if p.ndim > 1:
                        state["row"] = torch.zeros(
                            len(p), 1, dtype=p.dtype, device=p.device
                        )
                mean = state["mean"].lerp_(p.grad, 1 - group["momentum"])
                update = p.grad.lerp(mean, group["momentum"])
                rate = group["lr"]
                if p.ndim > 1:
                    flat = update.reshape(len(p), -1)
                    rate = rate * math.sqrt(max(1.0, flat.shape[0] / flat.shape[1]))
                    flat = orthogonalized(flat, group["steps"]).to(p.dtype)
                    length = flat.norm()
                    state["row"].lerp_(
                        flat.square().mean(dim=1, keepdim=True), 1 - group["beta"]
                    )
                    flat = flat / state["row"].sqrt().add_(group["eps"])
                    update = (flat * (length / flat.norm().add_(group["eps"]))).reshape(
                        p.shape
                    )
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(update, alpha=-rate)
        return loss
