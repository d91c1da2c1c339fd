"""Who owns which value of a parameter group, and the exchange at a swap.

A group's dict is shared by the loop, its LR schedulers and whatever rule is live,
and never replaced. A rule owns the keys of its own defaults and those that it wrote
itself; everything else (`initial_lr`, `max_lr`, a user's "name") stays.
"""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import torch

from dux_sandbox.group_shares import number_in
from dux_sandbox.option_values import CYCLED, can_be_cycled, is_cycled

Options = dict[str, Any]
Held = list[tuple[str, Any, Any]]


def copied(value: Any) -> Any:
    """An option's value that later writes do not reach (a tensor lr is cloned)."""
    return value.detach().clone() if isinstance(value, torch.Tensor) else value


def options_of(group: Options, names: set[str] | None = None) -> Options:
    """The values of one group, all or those named, without its parameters."""
    return {
        name: copied(value)
        for name, value in group.items()
        if name != "params" and (names is None or name in names)
    }


def copy_of_groups(groups: Sequence[Options]) -> list[Options]:
    """Deep copies of the groups of a checkpoint.

    What a user keeps in a group may be anything; what does not copy is shared, as in
    torch's own `state_dict`.
    """
    return [
        {name: _copy_or_itself(value) for name, value in group.items()}
        for group in groups
    ]


def _copy_or_itself(value: Any) -> Any:
    try:
        return deepcopy(value)
    except Exception:  # a user's object may raise anything when it is copied
        return value


def foreign_names(group: Options, base: set[str], owned: set[str]) -> set[str]:
    """The names in a group that belong to no rule: a scheduler's and the user's own.

    Args:
        base: names of the base optimizer's defaults.
        owned: names of the live rule's options.
    """
    return set(group) - base - owned - {"params", "lr"}


def has_scheduler(group: Options) -> bool:
    """Whether an LR scheduler has been made over this group."""
    return "initial_lr" in group


def scheduled(group: Options) -> set[str]:
    """The names in this group that a scheduler may read or write at any step."""
    names = {"lr"} if has_scheduler(group) else set()
    if is_cycled(group):
        names.update(CYCLED)
    return names


def unreadable(group: Options, options: Options) -> set[str]:
    """The names of options that a scheduler over this group could not go on from."""
    if not is_cycled(group):
        return set()
    return {
        name for name in CYCLED & set(options) if not can_be_cycled(name, options[name])
    }


def replace_options(group: Options, owned: set[str], options: Options) -> None:
    """Take the `owned` keys out of a group and put `options` in, in place.

    A key that a scheduler reads stays, with its value, when `options` lack it; so
    does `lr`, which a scheduler made later would want.
    """
    stay = scheduled(group) | {"lr", "params"}
    for name in [name for name in group if name in owned and name not in options]:
        if name not in stay:
            del group[name]
    for name, value in options.items():
        if name != "params":
            group[name] = copied(value)


class GroupsBefore:
    """What groups hold at one moment, to be put back in place."""

    def __init__(self, groups: Sequence[Options]) -> None:
        self._groups = list(groups)
        self._values = [held(group) for group in groups]

    def put_back(self) -> None:
        """Make them hold the very values that they had."""
        for group, was in zip(self._groups, self._values, strict=True):
            put_back(group, was)


def held(group: Options) -> Held:
    """What `put_back` needs: each name, the very value, a copy of a tensor rate."""
    return [
        (name, value, copied(value) if name == "lr" else value)
        for name, value in group.items()
    ]


def put_back(group: Options, was: Held) -> None:
    """Make a group hold the very values that it had when `held` looked, in place."""
    group.clear()
    for name, value, copy in was:
        group[name] = value
        if copy is not value:
            with torch.no_grad():
                value.copy_(copy)


def rewrite(group: Options, options: Options) -> None:
    """Make a group hold exactly `options` and its parameters, in place."""
    params = group["params"]
    group.clear()
    group["params"] = params
    for name, value in options.items():
        group[name] = copied(value)


def give_back(group: Options, *, owned: set[str], due: Options, cycled: str) -> None:
    """Put a predecessor's values back in place of those of a rule that failed.

    The rate stays as it is, for the schedule to set.

    Args:
        group: changed in place.
        owned: the names that the failed rule owned.
        due: the predecessor's own values when it was replaced.
        cycled: what schedulers that cycle the momentum call it.
    """
    due = cycle(due, group, cycled)
    if number_in(due.get("lr")) is not None:
        del due["lr"]
    replace_options(group, owned, due)


def cycled_by(base: torch.optim.Optimizer) -> str:
    """What schedulers that cycle the momentum of this optimizer call it."""
    return "betas" if "betas" in base.defaults else "momentum"


def cycle(options: Options, group: Options, cycled: str) -> Options:
    """Option values with the momentum that a scheduler has put into the group.

    OneCycleLR and CyclicLR set it as they set the rate, for whatever rule is live.
    """
    options = dict(options)
    if not is_cycled(group) or cycled not in options or cycled not in group:
        return options
    try:
        if cycled == "betas":
            options[cycled] = (group[cycled][0], *options[cycled][1:])
        else:
            options[cycled] = group[cycled]
    except (TypeError, LookupError):
        return options  # a rule may call anything so
    return options


def learning_rates(groups: Sequence[Options]) -> list[float]:
    """`lr` of each group in which it is a number."""
    rates = [number_in(group.get("lr")) for group in groups]
    return [rate for rate in rates if rate is not None]
