import torch


class IRprop(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-2, etas=(0.5, 1.2), limits=(1e-6, 0.1)):
        super().__init__(params, dict(lr=lr, etas=etas, limits=limits))

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            down, up = group["etas"]
            low, high = group["limits"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                grad = p.grad.clone()
                state = self.state[p]
                if len(state) == 0:
                    state["prev"] = torch.zeros_like(p)
                    state["size"] = torch.full_like(p, group["lr"])
                sign = grad.mul(state["prev"]).sign()
                sign[sign.gt(0)] = up
                sign[sign.lt(0)] = down
                sign[sign.eq(0)] = 1
                state["size"].mul_(sign).clamp_(low, high)
                grad[sign.eq(down)] = 0
                p.addcmul_(grad.sign(), state["size"], value=-1)
                state["prev"].copy_(grad)
