import heapq
import math
import torch


class RobustClip(torch.optim.Optimizer):
    """Clips by median + 3 MAD of the last nine global norms (python list on self), trimmed mean as a log."""

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.99), eps=1e-8, keep=9):
        super().__init__(params, dict(lr=lr, betas=betas, eps=eps))
        self.norms = []
        self.keep = keep
        self.usual = 0.0
        self.t = 0

    @staticmethod
    def _median(values):
        s = sorted(values)
        n = len(s)
        return s[n // 2] if n % 2 else 0.5 * (s[n // 2 - 1] + s[n // 2])

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()

        self.t += 1
        norm = math.sqrt(sum(float(p.grad.square().sum()) for g in self.param_groups for p in g["params"] if p.grad is not None))
        scale = 1.0
        if len(self.norms) >= 5:
            med = self._median(self.norms)
            mad = self._median([abs(x - med) for x in self.norms])
            scale = min(1.0, (med + 3.0 * 1.4826 * mad + 1e-12) / (norm + 1e-12))
            self.usual = sum(heapq.nsmallest(3, self.norms)) / 3
        self.norms.append(norm)
        if len(self.norms) > self.keep:
            self.norms = self.norms[-self.keep:]
        for group in self.param_groups:
            b1, b2 = group["betas"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                st = self.state[p]
                if not st:
                    st["m"], st["v"] = torch.zeros_like(p), torch.zeros_like(p)
                g = p.grad * scale
                st["m"].mul_(b1).add_(g, alpha=1 - b1)
                st["v"].mul_(b2).addcmul_(g, g, value=1 - b2)
                p.addcdiv_(st["m"] / (1 - b1 ** self.t), (st["v"] / (1 - b2 ** self.t)).sqrt() + group["eps"], value=-group["lr"])
        return loss
