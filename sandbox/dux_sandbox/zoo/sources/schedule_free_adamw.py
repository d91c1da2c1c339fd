"""Schedule-free AdamW: an average of the weights takes the place of a schedule.

    v = b2 v + (1 - b2) g(y)^2;  u = g(y) / (sqrt(v / (1 - b2^t)) + eps) + decay y
    z = z - lr u
    x = (1 - c) x + c z,  c = lr_max^2 / sum of lr_max^2
    y = b1 x + (1 - b1) z

z is kept, and y, where gradients are taken, is what the weights are; the average x
is between: y = b x + (1 - b) z. `eval` puts x there, `train` puts y back.

Paper: Defazio et al., The road less scheduled, arXiv 2405.15682.
State: 2 numbers a weight.
"""

import torch
from torch.optim import Optimizer


class ScheduleFreeAdamW(Optimizer):
    def __init__(
        self, params, lr=2.5e-3, momentum=0.9, beta=0.999, eps=1e-8, weight_decay=0.0
    ):
        names = dict(
            lr=lr, momentum=momentum, beta=beta, eps=eps, weight_decay=weight_decay
        )
        super().__init__(params, dict(names, training=True))

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
                    state["fast"] = p.clone()
                    state["square"] = torch.zeros_like(p)
                    state["highest"] = 0.0
                    state["weights"] = 0.0
                state["step"] += 1
                lr, fast, square, beta = (
                    group["lr"],
                    state["fast"],
                    state["square"],
                    group["beta"],
                )
                state["highest"] = max(state["highest"], float(lr))
                state["weights"] += state["highest"] ** 2
                share = (
                    state["highest"] ** 2 / state["weights"]
                    if state["weights"]
                    else 0.0
                )
                square.mul_(beta).addcmul_(p.grad, p.grad, value=1 - beta)
                scale = square.div(1 - beta ** state["step"]).sqrt_().add_(group["eps"])
                grad = p.grad.div(scale).add_(p, alpha=group["weight_decay"])
                moving = lr * (group["momentum"] * (1 - share) - 1)
                if lr:
                    p.lerp_(fast, share)
                p.add_(grad, alpha=moving)
                fast.sub_(grad, alpha=lr)
        return loss

    @torch.no_grad()
    def eval(self):
        """Put the average in place of the weights, for validation."""
        self._move(False)

    @torch.no_grad()
    def train(self):
        """Put the weights back where gradients are taken."""
        self._move(True)

    def _move(self, training):
        for group in self.param_groups:
            if group["training"] != training:
                beta = group["momentum"]
                for p in group["params"]:
                    if "fast" in self.state[p]:
                        p.lerp_(
                            self.state[p]["fast"],
                            1 - beta if training else 1 - 1 / beta,
                        )
                group["training"] = training
