"""The same rule inline and isolated, stepped turn and turn about."""

from __future__ import annotations

import statistics
import time

import torch

from dux_sandbox.limits import Limits
from dux_sandbox.process.isolated import IsolatedRule
from dux_sandbox.process.slab import Slab
from dux_sandbox.running import InlineRule, ParamGroups, RunningRule, parameters_of

ADAMW = """\
import torch


class Rule(torch.optim.AdamW):
    def __init__(self, params, lr=1e-3):
        super().__init__(params, lr=lr)
"""
_WARM_UP = 3


def median_steps(weights: int, *, tensors: int, rounds: int) -> tuple[float, float]:
    """Median seconds of an inline and of an isolated step of AdamW.

    Args:
        weights: float32 weights, spread evenly over `tensors` parameters.
        tensors: how many parameters.
        rounds: steps of each kind that count.
    """
    here, there = (groups_of(weights, tensors) for _ in range(2))
    isolated = IsolatedRule.build(
        ADAMW,
        there,
        limits=Limits(step_seconds=60.0, seconds=600.0),
        slab=Slab(parameters_of(there), mirror=True),
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
