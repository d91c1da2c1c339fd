import torch


class RingBuffer(torch.optim.Optimizer):
    """The mean of the last three gradients, kept in one stacked tensor."""

    def __init__(self, params, lr=1e-2, size=3):
        super().__init__(params, dict(lr=lr, size=size))

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                st = self.state[p]
                if not st:
                    st["ring"] = torch.zeros((group["size"], *p.shape), dtype=p.dtype)
                    st["n"] = 0
                st["ring"][st["n"] % group["size"]] = p.grad
                st["n"] += 1
                p.sub_(group["lr"] * st["ring"].mean(dim=0))
