"""The base optimizer's own `state_dict`, whatever rule is live in its place."""

import copy
import operator
from typing import Any

import torch

from dux_agent.live.group_options import copied, cycled_by, give_back
from dux_agent.live.guarded_slot import GuardedSlot
from dux_agent.live.hooks import silenced
from dux_sandbox.running_rule import parameters_of


def state_of_base(live: GuardedSlot) -> dict[str, Any]:
    """What goes into a checkpoint that is read where nobody knows of rules.

    The base optimizer as it would be live again after everything else had failed: its
    options, its state as it was when a rule took its place, and the rates that the
    loop's schedule sets now. The tensors are the live ones, as torch has it.
    """
    live.meet_groups()
    with silenced(live.base):
        packed = live.base.state_dict()
    if live.running is live.base_rule:
        return packed
    options, cycled = live.base_predecessor.options, cycled_by(live.base)
    for index, group in enumerate(packed["param_groups"]):
        give_back(group, owned=live.owned[index], due=options[index], cycled=cycled)
        rate = live.schedule.own(index)
        if rate is not None:
            group["lr"] = copied(rate)
    return packed


def twin_of_base(live: GuardedSlot, memo: dict[Any, Any]) -> torch.optim.Optimizer:
    """The base optimizer over the parameters of a copy, as `state_of_base` has it.

    Args:
        memo: of the `copy.deepcopy` that is under way.
    """
    live.meet_groups()
    twin = copy.deepcopy(live.base, memo)
    if live.running is not live.base_rule:  # whose options stand in the groups
        groups = state_of_base(live)["param_groups"]
        for group, due in zip(twin.param_groups, groups, strict=True):
            del due["params"]
            parameters = group["params"]
            group.clear()
            group |= {"params": parameters, **copy.deepcopy(due, memo)}
    return twin


def reduced_to_base(live: GuardedSlot, protocol: Any) -> str | tuple[Any, ...]:
    """What `__reduce_ex__` says, so that a pickle of `live` is one of its base.

    The pickle names nothing of ours and holds the very tensors, so that parameters stay
    those of a model beside it, and the optimizer that of a scheduler that has the base.
    """
    live.meet_groups()
    base = live.base
    if live.running is live.base_rule:
        return _ITSELF, ((base,),)
    held = [value for group in base.param_groups for value in _values(group)]
    held += [value for entry in base.state.values() for value in _values(entry)]
    held += parameters_of(base.param_groups)
    twin = twin_of_base(live, {id(value): value for value in held})
    reduced = twin.__reduce_ex__(protocol)
    if not _reduced_plainly(type(base)) or len(reduced) < 3:
        return reduced
    # Whoever holds the base gets the same one: with the options that it would have.
    return _ITSELF, ((base,),), reduced[2]


_ITSELF = operator.itemgetter(0)  # of a tuple of one


def _reduced_plainly(kind: type) -> bool:
    names = "__reduce_ex__", "__reduce__"
    return all(getattr(kind, name) is getattr(object, name) for name in names)


def _values(held: Any) -> list[Any]:
    """The values of a group or of a state entry, but for the parameters."""
    if not isinstance(held, dict):
        return [held]
    return [value for name, value in held.items() if name != "params"]
