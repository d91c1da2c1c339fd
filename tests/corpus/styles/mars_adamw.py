import math
import torch
from torch.optim.optimizer import Optimizer


def update_fn(p, grad, exp_avg, exp_avg_sq, lr, wd, beta1, beta2, last_grad, eps, step, gamma, clip):
    c_t = (grad - last_grad).mul(gamma * (beta1 / (1.0 - beta1))).add(grad)
    c_t_norm = torch.norm(c_t)
    if c_t_norm > clip:
        c_t = c_t / c_t_norm
    exp_avg.mul_(beta1).add_(c_t, alpha=1.0 - beta1)
    exp_avg_sq.mul_(beta2).addcmul_(c_t, c_t, value=1.0 - beta2)
    bias_correction1 = 1.0 - beta1 ** step
    bias_correction2 = 1.0 - beta2 ** step
    denom = exp_avg_sq.sqrt().mul(1 / math.sqrt(bias_correction2)).add(eps).mul(bias_correction1)
    real_update_tmp = -lr * torch.mul(p.data, wd).add(exp_avg.div(denom))
    p.data.add_(real_update_tmp)
    return exp_avg, exp_avg_sq


class MARS(Optimizer):
    def __init__(self, params, lr=3e-3, betas=(0.95, 0.99), eps=1e-8, weight_decay=0.01,
                 gamma=0.025, clip=1.0):
        super(MARS, self).__init__(params, dict(lr=lr, betas=betas, eps=eps, gamma=gamma,
                                                weight_decay=weight_decay, clip=clip))
        self.step_num = 0

    @torch.no_grad()
    def step(self, closure=None):
        real_loss = None
        if closure is not None:
            with torch.enable_grad():
                real_loss = closure()
        self.step_num += 1
        for group in self.param_groups:
            for p in filter(lambda p: p.grad is not None, group["params"]):
                grad = p.grad.data
                state = self.state[p]
                if len(state) <= 1:
                    state["step"] = 0
                    state["exp_avg"] = torch.zeros_like(p.data)
                    state["last_grad"] = torch.zeros_like(p)
                    state["exp_avg_sq"] = torch.zeros_like(p.data)
                state["step"] += 1
                beta1, beta2 = group["betas"]
                update_fn(p, grad, state["exp_avg"], state["exp_avg_sq"], group["lr"],
                          group["weight_decay"], beta1, beta2, state["last_grad"], group["eps"],
                          state["step"], group["gamma"], group["clip"])
                state["last_grad"] = grad
        return real_loss
