import torch


class GroupOptions(torch.optim.Optimizer):
    """Different options in each group, set in the constructor from shapes."""

    def __init__(self, params, lr=1e-2, wd=0.1):
        super().__init__(params, dict(lr=lr, wd=wd, momentum=0.9))
        for index, group in enumerate(self.param_groups):
            group["wd"] = wd if index == 0 else 0.0
            group["momentum"] = 0.9 if index == 0 else 0.5
            group.setdefault("lr_scale", 1.0 / (1 + index))

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            lr = group["lr"] * group["lr_scale"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                d = p.grad
                if group["wd"]:
                    d = d + group["wd"] * p
                buf = self.state[p].get("buf")
                buf = d.clone() if buf is None else buf * group["momentum"] + d
                self.state[p]["buf"] = buf
                p -= lr * buf
