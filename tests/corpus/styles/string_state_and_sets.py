import torch


class Modes(torch.optim.Optimizer):
    """Warm up, train, cool down: a mode in text, a set of milestones."""

    def __init__(self, params, lr=1e-2, warm=3, cool=8):
        super().__init__(params, dict(lr=lr, mode="warm"))
        self.warm, self.cool = warm, cool
        self.milestones = {4, 7}
        self.t, self.scale = 0, 1.0

    @torch.no_grad()
    def step(self, closure=None):
        self.t += 1
        if self.t in self.milestones:
            self.scale *= 0.5
        mode = "warm" if self.t <= self.warm else "train" if self.t <= self.cool else "cool"
        factor = {"warm": self.t / self.warm, "train": 1.0, "cool": 0.1}[mode]
        for group in self.param_groups:
            group["mode"] = mode
            for p in group["params"]:
                if p.grad is not None:
                    p.add_(p.grad, alpha=-group["lr"] * factor * self.scale)
