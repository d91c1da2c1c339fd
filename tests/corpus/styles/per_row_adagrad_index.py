import torch


class RowIndex(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-2, rows=2):
        super().__init__(params, dict(lr=lr, rows=rows))

    @torch.no_grad()
    def step(self, closure=None):
        for g in self.param_groups:
            for p in g["params"]:
                if p.grad is None:
                    continue
                if p.ndim == 2 and p.shape[0] > g["rows"]:
                    norms = p.grad.norm(dim=1)
                    top = norms.topk(g["rows"]).indices
                    p[top] = p[top] - g["lr"] * p.grad[top]
                    p.index_add_(0, top, p.grad.index_select(0, top), alpha=-g["lr"])
                else:
                    p.sub_(p.grad, alpha=g["lr"])
