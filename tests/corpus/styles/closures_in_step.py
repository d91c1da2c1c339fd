import torch


class FunctionalStep(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-2, beta=0.9):
        super().__init__(params, dict(lr=lr, beta=beta))
        self.schedule = lambda t: min(1.0, t / 4)
        self.t = 0

    @torch.no_grad()
    def step(self, closure=None):
        self.t += 1
        rate = self.schedule(self.t)

        def apply(p, group):
            def ema(name, value):
                old = self.state[p].get(name)
                new = value if old is None else torch.lerp(old, value, 1 - group["beta"])
                self.state[p][name] = new.clone()
                return new
            m = ema("m", p.grad)
            v = ema("v", p.grad * p.grad)
            return p - group["lr"] * rate * m * torch.rsqrt(v + 1e-8)

        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.copy_(apply(p, group))
