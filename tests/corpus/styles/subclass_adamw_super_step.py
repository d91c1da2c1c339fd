import torch


class ClippedAdamW(torch.optim.AdamW):
    def __init__(self, params, lr=1e-3, max_norm=1.0, **kwargs):
        super().__init__(params, lr=lr, **kwargs)
        self.max_norm = max_norm

    @torch.no_grad()
    def step(self, closure=None):
        params = [p for group in self.param_groups for p in group["params"] if p.grad is not None]
        torch.nn.utils.clip_grad_norm_(params, self.max_norm)
        return super().step(closure)
