"""The base optimizer's own `state_dict`, whatever rule is live in its place."""

import copy
from typing import Any

import torch

from dux_agent.live.group_options import copied, cycled_by, give_back
from dux_agent.live.guarded_slot import GuardedSlot
from dux_agent.live.hooks import silenced


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
    twin = copy.deepcopy(live.base, memo)
    if live.running is not live.base_rule:  # whose options stand in the groups
        twin.load_state_dict(copy.deepcopy(state_of_base(live), memo))
    return twin
