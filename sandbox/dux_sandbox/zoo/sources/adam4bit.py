"""4-bit Adam: AdamW whose two moments share a byte a weight.

    m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2     (kept in blocks, as half bytes)
    w = (1 - lr decay) w - lr (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps)

The upper half byte is the root of the share of the mean in the largest of its block
of 128, with its sign, the lower that of the second moment, which has no zero, as in
the paper.

Paper: Li, Chen, Zhu, Memory efficient optimizers with 4-bit states, arXiv
2309.01507.
State: 1 byte a weight and 2 numbers a block of 128.
"""

import math

import torch
from torch.optim import Optimizer

TINY = torch.finfo(torch.float32).tiny


def in_blocks(gradient):
    """A gradient in rows of 128, the last filled with zeros, at least float32."""
    flat = (
        gradient.flatten()
        if gradient.dtype == torch.float64
        else gradient.float().flatten()
    )
    return torch.nn.functional.pad(flat, (0, -flat.numel() % 128)).reshape(-1, 128)


def kept_in(dtype, sizes):
    """The largest of each row, in a dtype, and the roots of the shares in it."""
    largest = sizes.amax(dim=1, keepdim=True).to(dtype)
    share = sizes / largest.to(sizes.dtype).clamp(min=TINY)
    return largest, share.sqrt().clamp(max=1)


class Adam4bit(Optimizer):
    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0):
        super().__init__(
            params, dict(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)
        )

    def __setstate__(self, state):
        super().__setstate__(state)
        for state in self.state.values():  # loading made them the parameter's dtype
            state["moments"] = state["moments"].to(torch.uint8)

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
                grad = in_blocks(p.grad)
                state = self.state[p]
                if not state:
                    state["step"] = 0
                    state["moments"] = torch.full_like(grad, 8 * 16, dtype=torch.uint8)
                    state["mean_largest"] = p.new_zeros(len(grad), 1)
                    state["root_largest"] = p.new_zeros(len(grad), 1)
                state["step"] += 1
                step = state["step"]
                beta1, beta2 = group["betas"]
                moments = state["moments"].to(grad.dtype)
                high = (moments / 16).floor()
                kept = (high - 8) / 7
                mean = kept * kept.abs() * state["mean_largest"].to(grad.dtype)
                kept = ((moments - 16 * high + 1) / 16) ** 2
                square = (kept * state["root_largest"].to(grad.dtype)) ** 2
                mean = mean.lerp(grad, 1 - beta1)
                square = square.mul(beta2).addcmul(grad, grad, value=1 - beta2)
                scale = (
                    square.sqrt().div_(math.sqrt(1 - beta2**step)).add_(group["eps"])
                )
                update = mean.div(scale).flatten()[: p.numel()].reshape(p.shape)
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(update.to(p.dtype), alpha=-group["lr"] / (1 - beta1**step))
                largest, share = kept_in(p.dtype, mean.abs())
                state["mean_largest"] = largest
                high = (share * 7).round().mul_(mean.sign()).add_(8)
                largest, share = kept_in(p.dtype, square.sqrt())
                state["root_largest"] = largest
                low = (share * 16).ceil().clamp_(min=1).sub_(1)
                state["moments"] = (16 * high + low).to(torch.uint8)
        return loss
