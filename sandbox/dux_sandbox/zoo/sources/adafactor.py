"""Adafactor: the second moment of a matrix kept as one row and one column.

    b = 1 - t^-0.8;  R = b R + (1 - b) mean of g^2 over columns;  C the same over rows
    v = R C / mean(R)                   (a vector keeps v itself)
    u = g / sqrt(v);  u = u / max(1, rms(u))
    w = (1 - lr decay) w - min(lr, 1 / sqrt(t)) max(1e-3, rms(w)) u

Paper: Shazeer, Stern, Adafactor: adaptive learning rates with sublinear memory
cost, arXiv 1804.04235.
State: a row and a column of each matrix, 1 number a weight of vectors.
"""

import torch
from torch.optim import Optimizer

TINY = torch.finfo(torch.float32).eps


class Adafactor(Optimizer):
    def __init__(self, params, lr=1e-2, decay=0.8, weight_decay=0.0):
        super().__init__(params, dict(lr=lr, decay=decay, weight_decay=weight_decay))

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
                grad = p.grad
                state = self.state[p]
                if not state:
                    state["step"] = 0
                    if p.ndim > 1:
                        state["row"] = grad.new_zeros(grad.shape[:-1] + (1,))
                        state["column"] = grad.new_zeros(
                            grad.shape[:-2] + (1, grad.shape[-1])
                        )
                    else:
                        state["square"] = torch.zeros_like(p)
                if p.numel() == 0:
                    continue
                state["step"] += 1
                step = state["step"]
                share = step ** -group["decay"]
                if p.ndim > 1:
                    row, column = state["row"], state["column"]
                    row.lerp_(grad.square().mean(dim=-1, keepdim=True), share)
                    column.lerp_(grad.square().mean(dim=-2, keepdim=True), share)
                    square = (row @ column) / row.mean(dim=-2, keepdim=True).clamp_(
                        min=TINY
                    )
                else:
                    square = state["square"].lerp_(grad.square(), share)
                update = grad / square.clamp(min=TINY * TINY).sqrt()
                update = update / max(1.0, update.norm().item() / update.numel() ** 0.5)
                size = max(1e-3, p.norm().item() / p.numel() ** 0.5)
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(update, alpha=-min(group["lr"], step**-0.5) * size)
        return loss
