import torch


class ByRank(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-2):
        super().__init__(params, dict(lr=lr))

    @torch.no_grad()
    def step(self, closure=None):
        for g in self.param_groups:
            for p in g["params"]:
                if p.grad is None:
                    continue
                match p.ndim:
                    case 0 | 1:
                        d = p.grad.sign() * 0.1
                    case 2:
                        d = p.grad / (p.grad.norm(dim=1, keepdim=True) + 1e-8)
                    case _:
                        d = p.grad
                p.add_(d, alpha=-g["lr"])
