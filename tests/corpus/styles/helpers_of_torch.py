"""Adam by the helpers of torch.optim.optimizer, with its count in a tensor."""

import torch
from torch import Tensor
from torch.optim.optimizer import (
    Optimizer,
    ParamsT,
    _default_to_fused_or_foreach,
    _dispatch_sqrt,
    _get_value,
    _use_grad_for_differentiable,
)


class HelpersOfTorch(Optimizer):
    def __init__(
        self, params: ParamsT, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, foreach=None
    ):
        super().__init__(params, dict(lr=lr, betas=betas, eps=eps, foreach=foreach))

    def _init_group(self, group, params, grads, firsts, seconds, counts):
        for p in group["params"]:
            if p.grad is None:
                continue
            state = self.state[p]
            if len(state) == 0:
                state["step"] = torch.tensor(0.0, dtype=torch.float32)
                state["exp_avg"] = torch.zeros_like(p)
                state["exp_avg_sq"] = torch.zeros_like(p)
            params.append(p)
            grads.append(p.grad)
            firsts.append(state["exp_avg"])
            seconds.append(state["exp_avg_sq"])
            counts.append(state["step"])

    @_use_grad_for_differentiable
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            lists = [[] for _ in range(5)]
            self._init_group(group, *lists)
            adam(
                *lists,
                foreach=group["foreach"],
                lr=group["lr"],
                betas=group["betas"],
                eps=group["eps"],
            )
        return loss


def adam(params, grads, firsts, seconds, counts, *, foreach, lr, betas, eps):
    if foreach is None:
        _, foreach = _default_to_fused_or_foreach(params, False, use_fused=False)
    update = _in_lists if foreach else _one_by_one
    update(params, grads, firsts, seconds, counts, lr, betas, eps)


def _one_by_one(params, grads, firsts, seconds, counts, lr, betas, eps):
    for i, param in enumerate(params):
        count_t: Tensor = counts[i]
        count_t += 1
        firsts[i].lerp_(grads[i], 1 - betas[0])
        seconds[i].mul_(betas[1]).addcmul_(grads[i], grads[i], value=1 - betas[1])
        count = _get_value(count_t)
        first, second = (1 - beta**count for beta in betas)
        denominator = (seconds[i].sqrt() / _dispatch_sqrt(second)).add_(eps)
        param.addcdiv_(firsts[i], denominator, value=-lr / first)


def _in_lists(params, grads, firsts, seconds, counts, lr, betas, eps):
    torch._foreach_add_(counts, 1)
    torch._foreach_lerp_(firsts, grads, 1 - betas[0])
    torch._foreach_mul_(seconds, betas[1])
    torch._foreach_addcmul_(seconds, grads, grads, 1 - betas[1])
    second = [_dispatch_sqrt(1 - betas[1] ** _get_value(each)) for each in counts]
    first = [-lr / (1 - betas[0] ** _get_value(each)) for each in counts]
    denominators = torch._foreach_sqrt(seconds)
    torch._foreach_div_(denominators, second)
    torch._foreach_add_(denominators, eps)
    torch._foreach_addcdiv_(params, firsts, denominators, first)
