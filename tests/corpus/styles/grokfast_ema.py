import torch


class GrokFast(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-3, alpha=0.98, lamb=2.0, betas=(0.9, 0.98), eps=1e-8):
        super().__init__(params, dict(lr=lr, alpha=alpha, lamb=lamb, betas=betas, eps=eps))

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            (b1, b2), t = group["betas"], group.get("t", 0) + 1
            group["t"] = t
            for p in group["params"]:
                if p.grad is None:
                    continue
                s = self.state[p]
                if "slow" not in s:
                    s.update(slow=p.grad.clone(), m=torch.zeros_like(p), v=torch.zeros_like(p))
                s["slow"].mul_(group["alpha"]).add_(p.grad, alpha=1 - group["alpha"])
                g = p.grad + group["lamb"] * s["slow"]
                s["m"] += (g - s["m"]) * (1 - b1)
                s["v"] += (g ** 2 - s["v"]) * (1 - b2)
                mh, vh = s["m"] / (1 - b1 ** t), s["v"] / (1 - b2 ** t)
                p.data = p.data - group["lr"] * mh / (vh.sqrt() + group["eps"])
