import torch


class HyperGradient(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-2, hyper=1e-4):
        super().__init__(params, dict(lr=lr, hyper=hyper))

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            h = 0.0
            for p in group["params"]:
                if p.grad is None:
                    continue
                prev = self.state[p].get("prev")
                if prev is not None:
                    h += float(torch.sum(p.grad * prev))
            group["lr"] = min(max(group["lr"] + group["hyper"] * h, 1e-5), 1.0)
            for p in group["params"]:
                if p.grad is None:
                    continue
                p.add_(p.grad, alpha=-group["lr"])
                self.state[p]["prev"] = p.grad.clone()
