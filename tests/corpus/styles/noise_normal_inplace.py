import torch


class NoisyMomentum(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-2, beta=0.9, sigma=0.01, every=3):
        super().__init__(params, dict(lr=lr, beta=beta, sigma=sigma, every=every))
        self.count = 0

    @torch.no_grad()
    def step(self, closure=None):
        self.count += 1
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if "m" not in state:
                    state["m"] = torch.zeros_like(p)
                state["m"].mul_(group["beta"]).add_(p.grad, alpha=1 - group["beta"])
                if self.count % group["every"] == 0:
                    sigma = group["sigma"] / (1 + self.count) ** 0.55
                    p.add_(torch.empty_like(p).normal_(0, sigma))
                p.add_(state["m"], alpha=-group["lr"])
