import torch


class MatricesApart(torch.optim.Optimizer):
    """Momentum for matrices and Adam for the rest, a rate of their own each."""

    def __init__(self, params, lr=1e-2):
        super().__init__(params, dict(lr=lr))
        every = [p for group in self.param_groups for p in group["params"]]
        self.matrices = torch.optim.SGD(
            [p for p in every if p.ndim > 1], lr=lr, momentum=0.9
        )
        self.rest = torch.optim.Adam([p for p in every if p.ndim < 2], lr=0.1 * lr)
        self.t = 0

    @torch.no_grad()
    def step(self, closure=None):
        self.t += 1
        for group in self.matrices.param_groups:
            group["lr"] = self.param_groups[0]["lr"] / self.t**0.5
        self.matrices.step()
        self.rest.step()
        return None
