import torch


class ScalarTensors(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-2):
        super().__init__(params, dict(lr=lr))
        self.register = torch.zeros(2)
        self.best = float("inf")

    @torch.no_grad()
    def step(self, closure=None):
        sq = torch.tensor(0.0)
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    sq += p.grad.double().pow(2).sum().float()
        norm = sq.sqrt()
        self.register[0] += 1
        self.register[1] = 0.9 * self.register[1] + 0.1 * norm
        debiased = self.register[1] / (1 - 0.9 ** self.register[0])
        scale = torch.where(norm > 2 * debiased, debiased / norm, torch.ones_like(norm))
        if norm.item() < self.best:
            self.best = norm.item()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.add_(p.grad * scale, alpha=-group["lr"])
