"""The incumbent, continued on a copy."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from dux_sandbox.executions import copy_of
from dux_sandbox.limits import Limits
from dux_sandbox.running import InlineRule, ParamGroups, RunningRule
from dux_sandbox.shards import as_part_of, is_sharded, own_part

Clone = Callable[[nn.Module], nn.Module]
TwinOf = dict[int, torch.Tensor]


def running_of(optimizer: torch.optim.Optimizer) -> RunningRule:
    """The rule behind a live optimizer; a plain one is its own."""
    running: RunningRule | None = getattr(optimizer, "running", None)
    return InlineRule(optimizer) if running is None else running


def continue_on_copy(
    running: RunningRule, groups: ParamGroups, twin_of: TwinOf, limits: Limits
) -> RunningRule:
    """The incumbent over a copy's parameters, with all that it has learned."""
    if running.source is None:
        assert isinstance(running, InlineRule)
        return InlineRule(copy_of_trusted(running.optimizer, twin_of))
    return copy_of(running, groups, limits)


def copy_of_trusted(
    optimizer: torch.optim.Optimizer, twin_of: TwinOf
) -> torch.optim.Optimizer:
    """A torch optimizer with its state, over the parameters of a copy."""
    memo: dict[int, Any] = dict(twin_of)
    memo |= _parts_of_state(optimizer, twin_of)
    for group in optimizer.param_groups:
        for name in set(group) - set(optimizer.defaults) - {"params"}:
            if not _is_data(group[name]):
                memo[id(group[name])] = group[name]
    twin = copy.deepcopy(optimizer, memo)
    for name, value in vars(optimizer).items():
        # Optimizer.__getstate__ drops all else that a class keeps on itself, and
        # LBFGS cannot step without it. A scheduler's wrapper of `step` stays out.
        if name in vars(twin) or name == "step" or callable(value):
            continue
        setattr(twin, name, copy.deepcopy(value, memo))
    return twin


def _parts_of_state(
    optimizer: torch.optim.Optimizer, twin_of: TwinOf
) -> dict[int, Any]:
    """Copies of what is sharded, each over the groups of the parameter of the copy."""
    return {
        id(value): as_part_of(own_part(value).clone(), twin_of[id(parameter)])
        for parameter, entry in optimizer.state.items()
        if id(parameter) in twin_of and is_sharded(parameter)
        for value in filter(is_sharded, entry.values())
    }


def _is_data(value: Any) -> bool:
    """Whether an optimizer could keep this in a group; else it is the user's own.

    A user's function, module or lock is shared by the copy: it may not copy at all.
    """
    if isinstance(value, list | tuple | set | frozenset):
        return all(map(_is_data, value))
    if isinstance(value, dict):
        return all(map(_is_data, value.values()))
    plain = (int, float, complex, str, bytes, type(None), torch.Tensor)
    return isinstance(value, plain)
