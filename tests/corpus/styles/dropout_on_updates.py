import torch


class DropUpdate(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-2, keep=0.8, seed=7):
        super().__init__(params, dict(lr=lr, keep=keep))
        self._gen = torch.Generator()
        self._gen.manual_seed(seed)

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                mask = torch.rand(p.shape, generator=self._gen).lt(group["keep"]).to(p.dtype)
                p.add_(p.grad * mask / group["keep"], alpha=-group["lr"])
