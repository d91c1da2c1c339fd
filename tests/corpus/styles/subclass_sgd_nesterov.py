import torch


class WarmSGD(torch.optim.SGD):
    def __init__(self, params, lr=1e-2):
        super().__init__(params, lr=lr, momentum=0.9, nesterov=True, weight_decay=1e-4)
        self.calls = 0

    def step(self, closure=None):
        self.calls += 1
        scale = min(1.0, self.calls / 5)
        saved = [g["lr"] for g in self.param_groups]
        for g in self.param_groups:
            g["lr"] = g["lr"] * scale
        out = super().step(closure)
        for g, lr in zip(self.param_groups, saved):
            g["lr"] = lr
        return out
