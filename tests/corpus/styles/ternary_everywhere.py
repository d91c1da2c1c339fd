import torch


class Ternary(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-2, b1=0.9, b2=0.99, clip=None, wd=0.0, nesterov=True, centered=False):
        super().__init__(params, dict(lr=lr, b1=b1, b2=b2, clip=clip, wd=wd, nesterov=nesterov, centered=centered))

    @torch.no_grad()
    def step(self, closure=None):
        loss = closure() if closure else None
        [self._one(p, g) for g in self.param_groups for p in g["params"] if p.grad is not None]
        return loss

    def _one(self, p, g):
        s = self.state[p]
        s["t"] = s.get("t", 0) + 1
        grad = p.grad.clamp(-g["clip"], g["clip"]) if g["clip"] else p.grad
        grad = grad + g["wd"] * p if g["wd"] else grad
        s["m"] = g["b1"] * s["m"] + (1 - g["b1"]) * grad if "m" in s else (1 - g["b1"]) * grad
        s["v"] = g["b2"] * s["v"] + (1 - g["b2"]) * grad * grad if "v" in s else (1 - g["b2"]) * grad * grad
        m = g["b1"] * s["m"] + (1 - g["b1"]) * grad if g["nesterov"] else s["m"]
        v = s["v"] - s["m"] ** 2 if g["centered"] else s["v"]
        p.data.add_(-g["lr"] * (m / (1 - g["b1"] ** s["t"])) / ((v / (1 - g["b2"] ** s["t"])) ** 0.5 + 1e-8))
