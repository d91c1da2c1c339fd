import torch


def unitwise_norm(x):
    if x.ndim <= 1:
        return x.norm(2.0)
    return x.norm(2.0, dim=tuple(range(1, x.ndim)), keepdim=True)


class AGC(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-2, clip_factor=0.01, eps=1e-3, momentum=0.9):
        super().__init__(params, dict(lr=lr, clip_factor=clip_factor, eps=eps, momentum=momentum))

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                max_norm = unitwise_norm(p).clamp_(min=group["eps"]).mul_(group["clip_factor"])
                grad_norm = unitwise_norm(p.grad)
                clipped = p.grad * (max_norm / grad_norm.clamp(min=1e-6))
                new = torch.where(grad_norm < max_norm, p.grad, clipped)
                buf = self.state[p].get("momentum_buffer", None)
                if buf is None:
                    buf = self.state[p]["momentum_buffer"] = torch.zeros_like(p)
                buf.mul_(group["momentum"]).add_(new)
                p.add_(buf, alpha=-group["lr"])
