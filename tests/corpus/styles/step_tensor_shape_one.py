import torch


class StepTensor(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-3, betas=(0.9, 0.99), eps=1e-8):
        super().__init__(params, dict(lr=lr, betas=betas, eps=eps))

    def _update(self, p, g, exp_avg, exp_avg_sq, step, *, lr, beta1, beta2, eps):
        step.add_(1)
        exp_avg.copy_(exp_avg * beta1 + g * (1 - beta1))
        exp_avg_sq.copy_(exp_avg_sq * beta2 + g.square() * (1 - beta2))
        c1 = 1 - beta1 ** step
        c2 = 1 - beta2 ** step
        p.copy_(p - lr * (exp_avg / c1) / ((exp_avg_sq / c2).sqrt() + eps))

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                s = self.state[p]
                if not s:
                    s["step"] = torch.zeros(1)
                    s["exp_avg"], s["exp_avg_sq"] = torch.zeros_like(p), torch.zeros_like(p)
                self._update(p, p.grad, s["exp_avg"], s["exp_avg_sq"], s["step"], lr=group["lr"],
                             beta1=beta1, beta2=beta2, eps=group["eps"])
