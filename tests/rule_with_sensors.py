"""A rule that declares all sensors, steps by them, and keeps what it saw."""

SENSORS = ("step_fraction", "loss_trend", "gradient_cosine", "update_ratio")

SOURCE = """
import torch


class Sensed(torch.optim.Optimizer):
    sensors = ("step_fraction", "loss_trend", "gradient_cosine", "update_ratio")

    def __init__(self, params, lr=0.1):
        super().__init__(params, dict(lr=lr))
        self.fraction = self.trend = self.cosine = self.ratio = 0.0

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            self.fraction, self.trend = group["step_fraction"], group["loss_trend"]
            self.cosine, self.ratio = group["gradient_cosine"], group["update_ratio"]
            rate = group["lr"] * (1.0 - 0.5 * self.fraction) * (1.0 + 0.5 * self.cosine)
            rate = rate / (1.0 - 0.5 * self.trend + self.ratio)
            for p in group["params"]:
                if p.grad is not None:
                    p.add_(p.grad, alpha=-rate)
        return loss
"""
