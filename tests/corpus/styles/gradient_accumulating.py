import torch


class Accumulating(torch.optim.Optimizer):
    """Adds up four gradients before it moves."""

    def __init__(self, params, lr=1e-2, every=4):
        super().__init__(params, dict(lr=lr))
        self.every = every
        self.pending = 0

    @torch.no_grad()
    def step(self, closure=None):
        self.pending += 1
        fire = self.pending >= self.every
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                acc = self.state[p].setdefault("acc", torch.zeros_like(p))
                acc += p.grad / self.every
                if fire:
                    p.add_(acc, alpha=-group["lr"])
                    acc.zero_()
        if fire:
            self.pending = 0
