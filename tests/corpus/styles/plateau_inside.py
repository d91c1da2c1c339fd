import torch


class PlateauRule(torch.optim.Optimizer):
    """Halves its rate when the smoothed loss of the closure stops falling."""

    def __init__(self, params, lr=1e-2, patience=2, factor=0.5):
        super().__init__(params, dict(lr=lr))
        self.patience, self.factor = patience, factor
        self.best, self.wait, self.ema, self.scale = float("inf"), 0, None, 1.0

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        norm = sum(p.grad.norm().item() for g in self.param_groups for p in g["params"]
                   if p.grad is not None)
        self.ema = norm if self.ema is None else 0.8 * self.ema + 0.2 * norm
        if self.ema < self.best * 0.99:
            self.best, self.wait = self.ema, 0
        else:
            self.wait += 1
            if self.wait > self.patience:
                self.scale *= self.factor
                self.wait = 0
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.add_(p.grad, alpha=-group["lr"] * self.scale)
        return loss
