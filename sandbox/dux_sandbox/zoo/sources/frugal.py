"""FRUGAL: Adam for a share of the columns in turn, for the rest the gradient's sign.

    every `period` steps the next share of the columns has the state, which begins anew
    there: m, v as in Adam;  w = w - lr (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps)
    else:  w = w - lr scale sign(g)     (a vector is all of it Adam's)

Paper: Zmushko et al., FRUGAL: memory-efficient optimization by reducing state
overhead for scalable training, arXiv 2411.07837.
State: `share` times 2 numbers a weight of matrices, 2 a weight of vectors.
"""

import math

import torch
from torch.optim import Optimizer


class FRUGAL(Optimizer):
    def __init__(
        self,
        params,
        lr=1e-3,
        betas=(0.9, 0.999),
        eps=1e-8,
        share=0.25,
        period=200,
        scale=1.0,
        weight_decay=0.0,
    ):
        super().__init__(
            params,
            dict(
                lr=lr,
                betas=betas,
                eps=eps,
                share=share,
                period=period,
                scale=scale,
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
                if p.numel() == 0:
                    continue
                grad = (
                    p.grad.reshape(1, -1) if p.ndim < 2 else p.grad.reshape(len(p), -1)
                )
                width = grad.shape[1]
                if p.ndim > 1:
                    width = max(1, math.ceil(width * group["share"]))
                state = self.state[p]
                if not state:
                    state["step"] = 0
                    state["mean"] = grad.new_zeros(len(grad), width)
                    state["square"] = grad.new_zeros(len(grad), width)
                turn, since = divmod(state["step"], group["period"])
                state["step"] += 1
                mean, square = state["mean"], state["square"]
                if since == 0:
                    mean.zero_()
                    square.zero_()
                begin = turn * width % grad.shape[1]
                begin = min(begin, grad.shape[1] - width)
                part = grad[:, begin : begin + width]
                beta1, beta2 = group["betas"]
                mean.lerp_(part, 1 - beta1)
                square.mul_(beta2).addcmul_(part, part, value=1 - beta2)
                scale = square.div(1 - beta2 ** (since + 1)).sqrt_().add_(group["eps"])
                update = grad.sign().mul_(group["scale"])
                update[:, begin : begin + width] = mean.div(
                    1 - beta1 ** (since + 1)
                ).div_(scale)
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(update.reshape(p.shape), alpha=-group["lr"])
        return loss
