"""PSGD: two triangular factors that whiten the momentum of a matrix.

    m = b m + (1 - b) g;  A = Q_l M Q_r^T               (M: m without its bias)
    Q_l = Q_l - step triu(A A^T - |Q_r^-1|^2 Q_l^-T Q_l^-1) Q_l / their largest norm
    Q_r = Q_r - step triu(A^T A - |Q_l^-1|^2 Q_r^-T Q_r^-1) Q_r / their largest norm
    w = (1 - lr decay) w - lr clip(Q_l^T Q_l M Q_r^T Q_r)   (to 1.1 by its mean square)

The papers draw a random probe for the second term; here its mean is worked out, so
that a step draws nothing. Vectors have a diagonal factor. The scale of a momentum
is taken out, so that gradients of any size are fitted alike.

Paper: Li, Preconditioned stochastic gradient descent, arXiv 1512.04202;
Pooladzandi, Li, Curvature-informed SGD via general purpose Lie-group
preconditioners, arXiv 2402.04553.
State: 1 number a weight, one matrix as large as each side.
"""

import torch
from torch.optim import Optimizer

TINY = torch.finfo(torch.float32).tiny


def applied(factor, matrix):
    """A factor, triangular or the diagonal of one, times a matrix."""
    return factor @ matrix if factor.ndim > 1 else factor[:, None] * matrix


def transposed(factor):
    """The transpose of a factor; a diagonal is its own."""
    return factor.T if factor.ndim > 1 else factor


def inverse(factor):
    """The inverse of a factor."""
    if factor.ndim == 1:
        return 1 / factor
    identity = torch.eye(len(factor), dtype=factor.dtype, device=factor.device)
    return torch.linalg.solve_triangular(factor, identity, upper=True)


def fitted(factor, other, seen, step):
    """A factor, one step nearer to whitening what was seen."""
    inverted = inverse(factor)
    share = inverse(other).square().sum()
    if factor.ndim > 1:
        whitened = seen @ seen.T
        wanted = share * (inverted.T @ inverted)
        largest = (whitened + wanted).norm().clamp(min=TINY)
        return factor - step / largest * torch.triu(whitened - wanted) @ factor
    whitened = seen.square().sum(dim=1)
    wanted = share * inverted.square()
    largest = (whitened + wanted).max().clamp(min=TINY)
    return factor - step / largest * (whitened - wanted) * factor


class PSGD(Optimizer):
    def __init__(
        self, params, lr=1e-3, momentum=0.9, step=0.1, weight_decay=0.0, limit=2048
    ):
        super().__init__(
            params,
            dict(
                lr=lr,
                momentum=momentum,
                step=step,
                weight_decay=weight_decay,
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
                grad = (
                    p.grad.reshape(-1, 1) if p.ndim < 2 else p.grad.reshape(len(p), -1)
                )
                state = self.state[p]
                if not state:
                    state["step"] = 0
                    state["mean"] = torch.zeros_like(grad)
                    for side, length in zip(("left", "right"), grad.shape, strict=True):
                        whole = length <= group["limit"] and p.ndim > 1
                        one = torch.ones(length, dtype=p.dtype, device=p.device)
                        state[side] = one.diag() if whole else one
                state["step"] += 1
                mean = state["mean"].lerp_(grad, 1 - group["momentum"])
                mean = mean / (1 - group["momentum"] ** state["step"])
                wide = mean if mean.dtype == torch.float64 else mean.float()
                left, right = (
                    state["left"].to(wide.dtype),
                    state["right"].to(wide.dtype),
                )
                scale = wide.abs().max().clamp(min=TINY)
                seen = applied(left, applied(right, (wide / scale).T).T)
                fitting = fitted(left, right, seen, group["step"])
                state["right"].copy_(fitted(right, left, seen.T, group["step"]))
                state["left"].copy_(fitting)
                left, right = (
                    state["left"].to(wide.dtype),
                    state["right"].to(wide.dtype),
                )
                update = applied(left, applied(right, (wide / scale).T).T)
                update = applied(
                    transposed(left), applied(transposed(right), update.T).T
                )
                size = update.square().mean().sqrt()
                update = update * (1.1 / size.clamp(min=1.1))
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(update.reshape(p.shape).to(p.dtype), alpha=-group["lr"])
        return loss
