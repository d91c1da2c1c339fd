"""Which state of its predecessor a new rule may keep."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from dux_agent.live.snapshot import clones, write_back
from dux_sandbox.random_state import random_numbers_kept
from dux_sandbox.running import ParamGroups, RuleState, RunningRule, parameters_of


@dataclass(frozen=True)
class CarryRecord:
    """What became of the old state: how many parameters each name was kept for.

    Attributes:
        carried: by name of the state entry.
        dropped: by name; the new rule has no entry of that name, shape and dtype.
    """

    carried: dict[str, int] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)


def match(old: RuleState, new: RuleState) -> tuple[RuleState, CarryRecord]:
    """The new state with every entry of the old one that fits put in its place.

    An entry fits when name, shape and dtype are the same; numbers fit numbers. The
    plain attributes of the new rule stay its own.
    """
    carried: Counter[str] = Counter()
    dropped: Counter[str] = Counter()
    merged: dict[int, dict[str, Any]] = {
        index: dict(entry) for index, entry in new.state.items()
    }
    for index, entry in old.state.items():
        for name, value in entry.items():
            target = merged.get(index, {})
            if name in target and _alike(value, target[name]):
                target[name] = value
                carried[str(name)] += 1
            else:
                dropped[str(name)] += 1
    record = CarryRecord(dict(carried), dict(dropped))
    return RuleState(merged, new.attributes), record


def _alike(old: Any, new: Any) -> bool:
    if isinstance(old, torch.Tensor) and isinstance(new, torch.Tensor):
        return (old.shape, old.dtype) == (new.shape, new.dtype)
    return all(isinstance(x, int | float) and type(x) is not bool for x in (old, new))


def carry_over(old: RuleState, rule: RunningRule, groups: ParamGroups) -> CarryRecord:
    """Give a rule that has not stepped yet the state of `old` that fits.

    A rule makes its state in its first step, so it takes one on zero gradients; then
    parameters, gradients, option values, random numbers and its own attributes are
    put back as they were, and the entries that fit are exchanged.

    Raises:
        RuleFailed: the rule failed on it; parameters and gradients are as before.
    """
    if rule.requires_closure or not old.state:
        names = Counter(str(name) for entry in old.state.values() for name in entry)
        return CarryRecord({}, dict(names))
    fresh = rule.snapshot()
    # Also what is frozen just now has learned something, and goes on from it later.
    made = after_a_first_step(rule, groups, old.state.__contains__)
    merged, record = match(old, RuleState(made.state, fresh.attributes))
    # A name that fitted for no parameter would be state of a step that never was.
    rule.restore(merged if record.carried else fresh)
    return record


def after_a_first_step(
    rule: RunningRule, groups: ParamGroups, has_gradient: Callable[[int], bool]
) -> RuleState:
    """What a rule has learned when it has stepped once on zero gradients.

    Parameters, gradients, option values and random numbers are put back as they were.

    Args:
        rule: has not stepped yet.
        groups: its parameters.
        has_gradient: by the place of a parameter; the others have none.

    Raises:
        RuleFailed: it failed; everything else is as before.
    """
    parameters = parameters_of(groups)
    values = clones(parameters)
    gradients = [parameter.grad for parameter in parameters]
    options = [dict(group) for group in groups]
    with random_numbers_kept():
        try:
            for index, parameter in enumerate(parameters):
                zero = has_gradient(index)
                parameter.grad = torch.zeros_like(parameter) if zero else None
            rule.step()
            return rule.snapshot()
        finally:
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = gradient
            write_back(parameters, values)
            for group, was in zip(groups, options, strict=True):
                group.clear()
                group.update(was)
