import torch


class TensorRate(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-2, momentum=0.9):
        super().__init__(params, dict(lr=lr, momentum=momentum))

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            lr = torch.as_tensor(group["lr"], dtype=torch.float32)
            for p in group["params"]:
                if p.grad is None:
                    continue
                st = self.state[p]
                if "buf" not in st:
                    st["buf"] = torch.clone(p.grad).detach()
                else:
                    st["buf"].mul_(group["momentum"]).add_(p.grad)
                p.sub_(lr.to(p.dtype) * st["buf"])
