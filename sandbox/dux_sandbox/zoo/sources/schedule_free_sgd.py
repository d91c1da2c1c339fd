"""Schedule-free SGD: an average of the weights takes the place of a schedule.

    z = z - lr g(y)
    x = (1 - c) x + c z,  c = lr_max^2 / sum of lr_max^2
    y = b x + (1 - b) z

z is kept, and y, where gradients are taken, is what the weights are; the average x
is between: y = b x + (1 - b) z. `eval` puts x there, `train` puts y back.

Paper: Defazio et al., The road less scheduled, arXiv 2405.15682.
State: 1 number a weight.
"""

import torch
from torch.optim import Optimizer


class ScheduleFreeSGD(Optimizer):
    def __init__(self, params, lr=1.0, momentum=0.9, weight_decay=0.0):
        names = dict(lr=lr, momentum=momentum, weight_decay=weight_decay, training=True)
        super().__init__(params, names)

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
                    state["fast"] = p.clone()
                    state["highest"] = 0.0
                    state["weights"] = 0.0
                lr, fast = group["lr"], state["fast"]
                state["highest"] = max(state["highest"], float(lr))
                state["weights"] += state["highest"] ** 2
                share = (
                    state["highest"] ** 2 / state["weights"]
                    if state["weights"]
                    else 0.0
                )
                grad = p.grad.add(p, alpha=group["weight_decay"])
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
