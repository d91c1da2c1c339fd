"""The optimizers that a member of the family begins with, some with a schedule."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

_WARM = 0.3  # share of the run in which a cycle rises


def base_of(
    name: str, model: nn.Module, *, sgd: float, adam: float, steps: int
) -> torch.optim.Optimizer:
    """The base of that name over a model.

    Args:
        name: one of `dux_agent.tasks.family.members.BASES`.
        sgd, adam: good rates of either kind.
        steps: of the whole run, for those with a schedule.
    """
    kind, _, how = name.partition("-")
    times = {"slow": 0.01, "fast": 10.0 if kind == "sgd" else 30.0}.get(how, 1.0)
    optimizer: torch.optim.Optimizer
    if kind == "sgd":
        optimizer = torch.optim.SGD(model.parameters(), lr=sgd * times, momentum=0.9)
    else:
        optimizer = torch.optim.Adam(model.parameters(), lr=adam * times)
    shape = {"cosine": _cosine, "cycle": _cycle}.get(how)
    if shape is not None:
        _schedule(optimizer, shape, steps)
    return optimizer


def _cosine(done: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * done))


def _cycle(done: float) -> float:
    if done < _WARM:
        return 0.1 + 0.9 * done / _WARM
    return _cosine((done - _WARM) / (1 - _WARM))


def _schedule(
    optimizer: torch.optim.Optimizer, shape: Callable[[float], float], steps: int
) -> None:
    """Have a scheduler step after each step of the optimizer.

    How many it has taken stands in the first group, so that a training goes on from a
    checkpoint of the optimizer alone.
    """
    first = optimizer.param_groups[0]
    first["taken"] = 0
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda taken: shape(min(1.0, taken / steps))
    )

    def step(*_: Any) -> None:
        # Counted in what was loaded last, whoever replaced the dicts.
        group = optimizer.param_groups[0]
        scheduler.last_epoch = int(group["taken"])
        group["taken"] = scheduler.last_epoch + 1
        scheduler.step()

    optimizer.register_step_post_hook(step)
