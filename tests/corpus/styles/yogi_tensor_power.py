import torch


class Yogi(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-2, betas=(0.9, 0.999), eps=1e-3):
        super().__init__(params, dict(lr=lr, betas=betas, eps=eps))
        self.step_t = torch.zeros((), dtype=torch.int64)

    @torch.no_grad()
    def step(self, closure=None):
        self.step_t += 1
        for group in self.param_groups:
            b1, b2 = group["betas"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                s = self.state[p]
                if len(s) == 0:
                    s["m"] = torch.full_like(p, 1e-6)
                    s["v"] = torch.full_like(p, 1e-6)
                sq = p.grad * p.grad
                s["m"].mul_(b1).add_(p.grad, alpha=1 - b1)
                s["v"].addcmul_((s["v"] - sq).sign_(), sq, value=-(1 - b2))
                c1 = 1 - torch.pow(torch.tensor(b1), self.step_t)
                c2 = 1 - b2 ** self.step_t
                p.sub_(group["lr"] * (s["m"] / c1) / ((s["v"] / c2).sqrt() + group["eps"]))
