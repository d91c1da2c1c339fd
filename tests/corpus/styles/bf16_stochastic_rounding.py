import torch


def rounded(x, generator):
    """To bfloat16, up or down with the chance that keeps the mean."""
    step = torch.exp2(torch.floor(torch.log2(x.abs().clamp_min(1e-30))) - 7)
    noise = torch.rand(x.shape, generator=generator, dtype=x.dtype) - 0.5
    return (x + step * noise).to(torch.bfloat16)


class StochasticState(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999)):
        super().__init__(params, dict(lr=lr, betas=betas))
        self.generator = torch.Generator().manual_seed(0)

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            b1, b2 = group["betas"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                s = self.state[p]
                if not s:
                    s["t"] = 0
                    s["m"] = torch.zeros_like(p, dtype=torch.bfloat16)
                    s["v"] = torch.zeros_like(p, dtype=torch.bfloat16)
                s["t"] += 1
                m = torch.lerp(s["m"].float(), p.grad, 1 - b1)
                v = torch.lerp(s["v"].float(), p.grad.square(), 1 - b2)
                s["m"], s["v"] = rounded(m, self.generator), rounded(v, self.generator)
                d = (m / (1 - b1 ** s["t"])) / ((v / (1 - b2 ** s["t"])).sqrt() + 1e-8)
                p.sub_(group["lr"] * d)
