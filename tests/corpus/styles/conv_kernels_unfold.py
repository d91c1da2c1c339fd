import torch


class ChannelNorm(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-2, eps=1e-6):
        super().__init__(params, dict(lr=lr, eps=eps))

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                g = p.grad
                if g.ndim > 1:
                    flat = g.view(g.size(0), -1)
                    g = ((flat - flat.mean(1, keepdim=True)) / (flat.std(1, keepdim=True, unbiased=False) + group["eps"])).view_as(g)
                    norms = p.flatten(1).norm(dim=1)
                    g = g * norms.view(-1, *[1] * (g.ndim - 1))
                p.sub_(group["lr"] * g)
