# Written by offline-rules: fixed rules read the figures of the prompt. This is NOT a
# language model.
# What the numbers say:
# - Training loss by fifth: 2.301, 2.308, 2.302, 2.295, 2.31.
# - Gradient norm by fifth: 1.06, 0.828, 0.771, 1.24, 1.23.
# - Validation loss: 2.287.
# - Over the interval the loss fell by -0%, in its later half by -0%.
# - The loss hardly falls: the steps are too small for part of the network.
# What I change:
# - Another kind of step: Muon on hidden matrices, Adam on the rest. Its length does
#   not depend on how small the gradient is, so layers with weak gradients move too.
# - Rate 0.08: times the steps that are left it lets weights travel far enough.
# - Over 67 steps the rate goes from 0.0667 to 0, after 8 of warm-up.
import math
import torch


class RuleBasedMuon(torch.optim.Optimizer):
    # embeddings and the output layer: Adam suits them better
    plain_shapes = [(10, 64)]

    def __init__(
        self, params,
        lr=0.06667, adam_share=0.6, b1=0.95, b2=0.99, eps=1e-08, warmup=8,
        hold=0, total=67, final=0
    ):
        defaults = dict(
            lr=lr, adam_share=adam_share, b1=b1, b2=b2, eps=eps,
            warmup=warmup, hold=hold, total=total, final=final
        )
        super().__init__(params, defaults)

    @staticmethod
    def _orthogonalized(matrix, steps=5):
        """The nearest matrix with all singular values near one (Newton-Schulz)."""
        x = matrix.float()
        tall = x.shape[0] > x.shape[1]
        if tall:
            x = x.t()
        x = x / (x.norm() + 1e-12)
        for _ in range(steps):
            s = x @ x.t()
            x = 3.4445 * x + (-4.7750 * s + 2.0315 * (s @ s)) @ x
        if tall:
            x = x.t()
        return x.to(matrix.dtype)

    @staticmethod
    def _share(n, group):
        """Share of the learning rate at step n: warm-up, hold, linear decay."""
        warm = min(1.0, n / group["warmup"])
        span = max(1, group["total"] - group["hold"])
        passed = min(1.0, max(0.0, (n - 1 - group["hold"]) / span))
        return warm * (1.0 - (1.0 - group["final"]) * passed)

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()

        for group in self.param_groups:
            b1 = group["b1"]
            b2 = group["b2"]
            for p in group["params"]:
                if p.grad is None or p.numel() == 0:
                    continue
                hidden = p.ndim >= 2 and p.shape[0] > 1 and p.numel() > p.shape[0]
                hidden = hidden and tuple(p.shape) not in self.plain_shapes
                g = p.grad
                state = self.state[p]
                if len(state) == 0:
                    state["step"] = 0
                    state["m"] = torch.zeros_like(p)
                    if not hidden:
                        state["v"] = torch.zeros_like(p)
                state["step"] += 1
                n = state["step"]
                rate = group["lr"] * self._share(n, group)
                m = state["m"]
                m.mul_(b1).add_(g, alpha=1.0 - b1)
                if hidden:
                    # Nesterov look-ahead, then all directions of the matrix made alike; the
                    # factor gives the step the size of an Adam step.
                    ahead = (g * (1.0 - b1) + m * b1).reshape(p.shape[0], -1)
                    factor = 0.2 * math.sqrt(max(ahead.shape))
                    update = self._orthogonalized(ahead).mul_(factor).reshape(p.shape)
                else:
                    v = state["v"]
                    v.mul_(b2).addcmul_(g, g, value=1.0 - b2)
                    denom = (v / (1.0 - b2**n)).sqrt_().add_(group["eps"])
                    update = (m / (1.0 - b1**n)).div_(denom)
                    rate = rate * group["adam_share"]
                p.add_(update, alpha=-rate)
        return loss
