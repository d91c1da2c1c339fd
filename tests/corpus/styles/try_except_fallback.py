import torch


class Careful(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-2):
        super().__init__(params, dict(lr=lr))

    @torch.no_grad()
    def step(self, closure=None):
        for g in self.param_groups:
            for p in g["params"]:
                if p.grad is None:
                    continue
                d = p.grad
                if d.ndim == 2:
                    try:
                        gram = d @ d.t() + 0.1 * torch.eye(d.shape[0], dtype=d.dtype)
                        d = torch.linalg.solve(gram, d)
                    except RuntimeError:
                        d = p.grad
                p.sub_(g["lr"] * d)
