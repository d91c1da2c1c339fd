import torch


class AdaptiveBeta(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-2):
        super().__init__(params, dict(lr=lr))

    @torch.no_grad()
    def step(self, closure=None):
        dot = torch.zeros(())
        na = torch.zeros(())
        nb = torch.zeros(())
        for g in self.param_groups:
            for p in g["params"]:
                if p.grad is None:
                    continue
                m = self.state[p].setdefault("m", p.grad.clone())
                dot += (m * p.grad).sum()
                na += m.pow(2).sum()
                nb += p.grad.pow(2).sum()
        cos = dot / (na.sqrt() * nb.sqrt() + 1e-12)
        beta = 0.5 + 0.45 * cos.clamp(-1, 1)
        for g in self.param_groups:
            for p in g["params"]:
                if p.grad is None:
                    continue
                m = self.state[p]["m"]
                m.mul_(beta).add_((1 - beta) * p.grad)
                p.sub_(g["lr"] * m)
