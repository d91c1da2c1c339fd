import torch
class SeedsInStep(torch.optim.Optimizer):
    def __init__(self, params, lr=0.02, T=1e-5, seed=0):
        super().__init__(params, dict(lr=lr, T=T)); self.seed, self.t = seed, 0
    @torch.no_grad()
    def step(self, closure=None):
        loss = closure() if closure else None
        self.t += 1
        torch.manual_seed(self.seed + self.t)
        for g in self.param_groups:
            for p in g["params"]:
                if p.grad is None: continue
                p.add_(p.grad, alpha=-g["lr"]).add_(torch.empty_like(p).normal_(std=(2 * g["lr"] * g["T"]) ** .5))
        return loss
