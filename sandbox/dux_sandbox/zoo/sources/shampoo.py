"""Shampoo: each side of a gradient multiplied by a root of its summed covariance.

    L_i = L_i + G_i G_i^T               (G unfolded along dimension i of k; first eps I)
    w = w - lr (L_1^(-1/2k) ... L_k^(-1/2k) applied to g)

Paper: Gupta, Koren, Singer, Shampoo: preconditioned stochastic tensor optimization,
arXiv 1802.09568.
State: two matrices as large as each side, of sides of at most `limit`.
"""

import torch
from torch.optim import Optimizer


def inverse_root(matrix, degree, eps):
    """A symmetric matrix to the power of -1 / degree."""
    wide = matrix if matrix.dtype == torch.float64 else matrix.float()
    values, vectors = torch.linalg.eigh(wide)
    return (vectors * values.clamp(min=eps) ** (-1 / degree)) @ vectors.T


class Shampoo(Optimizer):
    def __init__(self, params, lr=1e-3, eps=1e-6, period=1, limit=1024):
        super().__init__(params, dict(lr=lr, eps=eps, period=period, limit=limit))

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
                    for side, length in enumerate(p.shape):
                        if length <= group["limit"]:
                            identity = torch.eye(length, dtype=p.dtype, device=p.device)
                            state[f"sum_{side}"] = group["eps"] * identity
                            state[f"root_{side}"] = identity
                state["step"] += 1
                if p.numel() == 0:
                    continue
                update = p.grad
                for side, length in enumerate(p.shape):
                    if length > group["limit"]:
                        continue
                    total, root = state[f"sum_{side}"], state[f"root_{side}"]
                    unfolded = p.grad.movedim(side, 0).reshape(length, -1)
                    total.add_(unfolded @ unfolded.T)
                    if state["step"] % group["period"] == 0:
                        root.copy_(inverse_root(total, 2 * p.ndim, group["eps"]))
                    turned = update.movedim(side, 0)
                    update = (root @ turned.reshape(length, -1)).reshape(turned.shape)
                    update = update.movedim(0, side)
                p.add_(update, alpha=-group["lr"])
        return loss
