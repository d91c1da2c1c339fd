import torch


class LayerIndex(torch.optim.Optimizer):
    """Rates by a layer's place, and the last parameter treated on its own."""

    def __init__(self, params, lr=1e-2, decay=0.8):
        super().__init__(params, dict(lr=lr, decay=decay))

    @torch.no_grad()
    def step(self, closure=None):
        every = [p for g in self.param_groups for p in g["params"]]
        for index, p in enumerate(every):
            if p.grad is None:
                continue
            rate = self.param_groups[0]["lr"] * self.param_groups[0]["decay"] ** (len(every) - 1 - index)
            if p is every[-1]:
                rate *= 2
            p.sub_(p.grad, alpha=rate)
