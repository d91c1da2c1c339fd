import torch


class DAdaptSGD(torch.optim.Optimizer):
    def __init__(self, params, lr=1.0, momentum=0.9, d0=1e-6, growth_rate=float("inf")):
        super().__init__(params, dict(lr=lr, momentum=momentum, d=d0, k=0,
                                      growth_rate=growth_rate, numerator_weighted=0.0))

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            loss = closure()
        group = self.param_groups[0]
        lr = max(g["lr"] for g in self.param_groups)
        ck = 1 - group["momentum"]
        k, d = group["k"], group["d"]
        numerator_weighted = group["numerator_weighted"]
        g_sq, sk_sq, dot = 0.0, 0.0, 0.0
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                grad = p.grad.data
                state = self.state[p]
                if "z" not in state:
                    state["z"] = p.data.clone()
                    state["s"] = torch.zeros_like(p.data)
                    state["x0"] = p.data.clone()
                g_sq += (grad * grad).sum().item()
                dot += torch.sum(grad * state["s"]).item()
        if k == 0:
            self.g0_norm = g_sq ** 0.5
        if self.g0_norm == 0:
            return loss
        dlr = d * lr / self.g0_norm
        numerator_weighted += dlr * dot
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                s = self.state[p]["s"]
                s.add_(p.grad, alpha=dlr)
                sk_sq += (s * s).sum().item()
        if sk_sq > 0:
            d_hat = 2 * numerator_weighted / (sk_sq ** 0.5)
            d = max(d, min(d_hat, d * group["growth_rate"]))
        for group in self.param_groups:
            group["numerator_weighted"] = numerator_weighted
            group["d"] = d
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                z = state["z"]
                z.copy_(state["x0"] - state["s"])
                p.data.mul_(1 - ck).add_(z, alpha=ck)
            group["k"] = k + 1
        return loss
