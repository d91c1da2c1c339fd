import torch


class Listed(torch.optim.Optimizer):
    """Momentum for matrices and Adam for the rest, in one list."""

    def __init__(self, params, lr=1e-2):
        super().__init__(params, dict(lr=lr))
        every = [p for group in self.param_groups for p in group["params"]]
        self.parts = [
            torch.optim.SGD([p for p in every if p.ndim > 1], lr=lr, momentum=0.9),
            torch.optim.Adam([p for p in every if p.ndim < 2], lr=0.1 * lr),
        ]

    @torch.no_grad()
    def step(self, closure=None):
        self.parts[0].param_groups[0]["lr"] = self.param_groups[0]["lr"]
        for part in self.parts:
            part.step()
        return None
