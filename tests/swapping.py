"""What the tests of the live optimizer share: a small training and rules for it."""

from dux_agent.live.optimizer import DuxOptimizer
from tests import models
from tests.sources import MOMENTUM, SGD

__all__ = ["ADAM", "MOMENTUM", "SGD", "after", "live_over", "train"]

ADAM = '''
import torch


class Adam(torch.optim.Optimizer):
    """Adam with its step count in the state."""

    def __init__(self, params, lr=0.01, betas=(0.9, 0.99), eps=1e-8):
        super().__init__(params, dict(lr=lr, betas=betas, eps=eps))

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            b1, b2 = group["betas"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if len(state) == 0:
                    state["step"] = 0
                    state["exp_avg"] = torch.zeros_like(p)
                    state["exp_avg_sq"] = torch.zeros_like(p)
                state["step"] += 1
                state["exp_avg"].lerp_(p.grad, 1 - b1)
                state["exp_avg_sq"].mul_(b2).addcmul_(p.grad, p.grad, value=1 - b2)
                rate = group["lr"] / (1 - b1 ** state["step"])
                root = (state["exp_avg_sq"] / (1 - b2 ** state["step"])).sqrt()
                p.addcdiv_(state["exp_avg"], root + group["eps"], value=-rate)
        return loss
'''


def after(steps, harm, source=MOMENTUM):
    """The momentum rule, honest for `steps` steps; `harm` is done to p after them."""
    line = '                p.add_(state["m"], alpha'
    assert line in source
    hurt = f"                if self.t > {steps}:\n                    {harm}\n"
    return source.replace(line, hurt + line)


def live_over(model, base, **options):
    """A live optimizer that runs rules in this process."""
    return DuxOptimizer(base, model=model, **options)


def train(live, model, steps, *, scheduler=None, each=None, first=0):
    """Plain training; `each` is called with the loss after every step."""
    batches = models.batches()
    loss = None
    for step in range(first, first + steps):
        live.zero_grad()
        loss = models.objective(model, batches[step % len(batches)])
        loss.backward()
        live.step()
        if scheduler is not None:
            scheduler.step()
        if isinstance(live, DuxOptimizer):
            live.guard.observed(float(loss.detach()))
        if each is not None:
            each(float(loss.detach()))
    return float(loss.detach())
