"""The same rule inline and isolated, stepped turn and turn about."""

import ctypes
import statistics
import sys
import time

import torch

from dux_sandbox.limits import Limits
from dux_sandbox.process.isolated import IsolatedRule
from dux_sandbox.running import InlineRule, ParamGroups, RunningRule

ADAMW = '''
import torch


class AdamW(torch.optim.Optimizer):
    """AdamW as a language model writes it: one parameter after the other."""

    def __init__(
        self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01
    ):
        super().__init__(
            params, dict(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)
        )

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if len(state) == 0:
                    state["step"] = 0
                    state["exp_avg"] = torch.zeros_like(p)
                    state["exp_avg_sq"] = torch.zeros_like(p)
                state["step"] += 1
                p.mul_(1 - group["lr"] * group["weight_decay"])
                state["exp_avg"].mul_(beta1).add_(p.grad, alpha=1 - beta1)
                state["exp_avg_sq"].mul_(beta2).addcmul_(
                    p.grad, p.grad, value=1 - beta2
                )
                first = 1 - beta1 ** state["step"]
                second = 1 - beta2 ** state["step"]
                denominator = (state["exp_avg_sq"] / second).sqrt().add_(group["eps"])
                p.addcdiv_(state["exp_avg"], denominator, value=-group["lr"] / first)
        return loss
'''
_WARM_UP = 3


def median_steps(weights: int, *, tensors: int, rounds: int) -> tuple[float, float]:
    """Median seconds of an inline and of an isolated step of AdamW.

    Args:
        weights: float32 weights, spread evenly over `tensors` parameters.
        tensors: how many parameters.
        rounds: steps of each kind that count.
    """
    _keep_freed_memory()
    here, there = (groups_of(weights, tensors) for _ in range(2))
    isolated = IsolatedRule.build(
        ADAMW,
        there,
        limits=Limits(step_seconds=60.0, seconds=600.0),
    )
    inline = InlineRule.build(ADAMW, here)
    rules: list[tuple[RunningRule, ParamGroups]] = [(inline, here), (isolated, there)]
    times: list[list[float]] = [[], []]
    try:
        for rule, groups in rules:
            for group, options in zip(groups, rule.options, strict=True):
                group.update(options)
            rule.bind(groups)
        for turn in range(rounds + _WARM_UP):
            for kind in (0, 1) if turn % 2 else (1, 0):
                rule, groups = rules[kind]
                began = time.perf_counter()
                rule.step()
                if turn >= _WARM_UP:
                    times[kind].append(time.perf_counter() - began)
    finally:
        isolated.close()
    return statistics.median(times[0]), statistics.median(times[1])


def _keep_freed_memory() -> None:
    """Let this process's allocator do as a child's does; see `spawning`.

    Else the inline step would fetch memory anew for each temporary, and the isolated
    one would look better than it is (0.7 times).
    """
    if sys.platform == "linux":
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(-1, 256 << 20)  # M_TRIM_THRESHOLD
        mallopt(-3, 32 << 20)  # M_MMAP_THRESHOLD


def groups_of(weights: int, tensors: int) -> ParamGroups:
    """One group of float32 parameters, 1-d and of equal size, with gradients."""
    generator = torch.Generator().manual_seed(0)
    size = weights // tensors
    parameters = []
    for _ in range(tensors):
        parameter = torch.nn.Parameter(torch.randn(size, generator=generator))
        parameter.grad = torch.randn(size, generator=generator)
        parameters.append(parameter)
    return [{"params": parameters}]
