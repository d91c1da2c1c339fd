import torch


class SWA(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-2, start=4, end=10):
        super().__init__(params, dict(lr=lr))
        self.start, self.end, self.n, self.t = start, end, 0, 0
        self.avg = None

    @torch.no_grad()
    def step(self, closure=None):
        params = [p for g in self.param_groups for p in g["params"]]
        for g in self.param_groups:
            for p in g["params"]:
                if p.grad is not None:
                    p -= g["lr"] * p.grad
        self.t += 1
        if self.start <= self.t < self.end:
            if self.avg is None:
                self.avg = [p.detach().clone() for p in params]
            else:
                for a, p in zip(self.avg, params):
                    a.add_((p - a) / (self.n + 1))
            self.n += 1
        elif self.t == self.end:
            for a, p in zip(self.avg, params):
                p.copy_(a)
            self.avg = None
