import torch


class SeededEveryStep(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-2, sigma=0.01, seed=1234):
        super().__init__(params, dict(lr=lr, sigma=sigma))
        self.seed = seed
        self.t = 0

    @torch.no_grad()
    def step(self, closure=None):
        self.t += 1
        gen = torch.Generator().manual_seed(self.seed + self.t)
        for group in self.param_groups:
            sigma = group["sigma"] / (1 + self.t) ** 0.55
            for p in group["params"]:
                if p.grad is None:
                    continue
                noise = torch.normal(0.0, 1.0, size=p.shape, generator=gen, dtype=p.dtype)
                keep = torch.empty_like(p).bernoulli_(0.9, generator=gen)
                p.add_(keep * p.grad + sigma * noise, alpha=-group["lr"])
                if p.ndim == 2:
                    rows = torch.randperm(p.shape[0], generator=gen)[:2]
                    p[rows] *= 0.99
