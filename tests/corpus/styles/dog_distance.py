import torch


class DoG(torch.optim.Optimizer):
    """Distance over gradients, one scalar for all parameters, in tensors."""

    def __init__(self, params, lr=1.0, reps_rel=1e-3, eps=1e-8):
        super().__init__(params, dict(lr=lr, reps_rel=reps_rel, eps=eps))
        self.rbar = None
        self.gsum = None

    @torch.no_grad()
    def step(self, closure=None):
        loss = closure() if closure else None
        params = [p for g in self.param_groups for p in g["params"] if p.grad is not None]
        for p in params:
            if "init" not in self.state[p]:
                self.state[p]["init"] = p.detach().clone()
        if self.rbar is None:
            norm = torch.stack([p.norm() for p in params]).norm()
            self.rbar = self.param_groups[0]["reps_rel"] * (1 + norm)
            self.gsum = torch.zeros(())
        dist = torch.stack([(p - self.state[p]["init"]).norm() for p in params]).norm()
        self.rbar = torch.maximum(self.rbar, dist)
        self.gsum = self.gsum + sum(p.grad.pow(2).sum() for p in params)
        eta = self.rbar / (self.gsum + self.param_groups[0]["eps"]).sqrt()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.sub_(group["lr"] * eta * p.grad)
        return loss
