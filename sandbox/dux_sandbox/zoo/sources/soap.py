"""SOAP: Adam in the slowly turning eigenbasis of Shampoo.

    L = b2 L + (1 - b2) G G^T;  R = b2 R + (1 - b2) G^T G
    Q_L, Q_R: their eigenvectors, turned every `period` steps by one power iteration
    m = b1 m + (1 - b1) G;  v = b2 v + (1 - b2) (Q_L^T G Q_R)^2
    u = (Q_L^T m Q_R) / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps)
    w = (1 - lr decay) (w - lr Q_L u Q_R^T)

The first step only gathers. Vectors take AdamW.

Paper: Vyas et al., SOAP: improving and stabilizing Shampoo using Adam, arXiv
2409.11321.
State: 2 numbers a weight, two matrices as large as each side of a matrix.
"""

import math

import torch
from torch.optim import Optimizer


def widened(matrix):
    """Half precisions as float32: decompositions need it."""
    return matrix if matrix.dtype == torch.float64 else matrix.float()


def eigenvectors(matrix):
    """Of a symmetric matrix, those of the largest eigenvalues first.

    In double precision: with rows that got no gradient, as most of an embedding's do,
    it does not converge in a single one.
    """
    return torch.linalg.eigh(matrix.double())[1].flip(1).to(matrix.dtype)


def turn(matrix, basis):
    """One power iteration of a basis, in place; the order its columns had."""
    wide, old = widened(matrix), widened(basis)
    sizes = (old.T @ wide @ old).diagonal()
    order = sizes.argsort(descending=True)
    basis.copy_(torch.linalg.qr(wide @ old[:, order])[0])
    return order


class SOAP(Optimizer):
    def __init__(
        self,
        params,
        lr=3e-3,
        betas=(0.95, 0.95),
        eps=1e-8,
        weight_decay=0.01,
        period=10,
        limit=4096,
    ):
        super().__init__(
            params,
            dict(
                lr=lr,
                betas=betas,
                eps=eps,
                weight_decay=weight_decay,
                period=period,
                limit=limit,
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
                grad = p.grad if p.ndim < 2 else p.grad.reshape(len(p), -1)
                turns = p.ndim > 1 and max(grad.shape) <= group["limit"]
                beta1, beta2 = group["betas"]
                state = self.state[p]
                if not state:
                    state["step"] = 0
                    state["mean"] = torch.zeros_like(grad)
                    state["square"] = torch.zeros_like(grad)
                    if turns:
                        state["left"] = (1 - beta2) * (grad @ grad.T)
                        state["right"] = (1 - beta2) * (grad.T @ grad)
                        state["left_basis"] = eigenvectors(state["left"])
                        state["right_basis"] = eigenvectors(state["right"])
                    continue
                state["step"] += 1
                step, mean, square = state["step"], state["mean"], state["square"]
                mean.lerp_(grad, 1 - beta1)
                turned, seen = mean, grad
                if turns:
                    left, right = state["left_basis"], state["right_basis"]
                    turned, seen = left.T @ mean @ right, left.T @ grad @ right
                square.mul_(beta2).addcmul_(seen, seen, value=1 - beta2)
                update = turned / square.sqrt().add_(group["eps"])
                if turns:
                    update = left @ update @ right.T
                rate = group["lr"] * math.sqrt(1 - beta2**step) / (1 - beta1**step)
                p.add_(update.reshape(p.shape), alpha=-rate)
                p.mul_(1 - group["lr"] * group["weight_decay"])
                if turns:
                    state["left"].lerp_(grad @ grad.T, 1 - beta2)
                    state["right"].lerp_(grad.T @ grad, 1 - beta2)
                    if step % group["period"] == 0:
                        rows = turn(state["left"], left)
                        columns = turn(state["right"], right)
                        square.copy_(square[rows][:, columns])
        return loss
