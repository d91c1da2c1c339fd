import torch


class HalfState(torch.optim.Optimizer):
    """AdamW with moments kept in bfloat16."""

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.99), wd=0.01):
        super().__init__(params, dict(lr=lr, betas=betas, wd=wd))

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            b1, b2 = group["betas"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                st = self.state[p]
                if not st:
                    st["m"] = torch.zeros_like(p, dtype=torch.bfloat16)
                    st["v"] = torch.zeros_like(p, dtype=torch.bfloat16)
                    st["t"] = 0
                st["t"] += 1
                m = st["m"].float().mul_(b1).add_(p.grad.float(), alpha=1 - b1)
                v = st["v"].float().mul_(b2).addcmul_(p.grad.float(), p.grad.float(), value=1 - b2)
                st["m"].copy_(m)
                st["v"].copy_(v)
                u = (m / (1 - b1 ** st["t"])) / ((v / (1 - b2 ** st["t"])).sqrt() + 1e-6)
                p.mul_(1 - group["lr"] * group["wd"]).sub_(group["lr"] * u.to(p.dtype))
