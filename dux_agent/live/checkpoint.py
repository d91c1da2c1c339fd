"""A live optimizer as a checkpoint; `dux_agent.live.loading` is the way back.

The layout is torch's, `{"state": {index: {...}}, "param_groups": [...]}`. What torch
does not know lies in `param_groups[0]["dux"]`, since a key at the top is dropped by
`torch.distributed.checkpoint`:

    version       1
    source        the live rule's text, or None while the base optimizer is live
    digest        its SHA-256
    kept          JSON: the rule's plain attributes, the base optimizer's options,
                  which options are the rule's own, what it does with closures, where
                  it runs if it was to be recorded,
                  shapes and dtypes of the parameters,
                  the rates of the schedule and what the live ones are relative to
    tensors       the tensors that `kept` refers to
"""

import json
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import torch

from dux_agent.live.group_options import copy_of_groups
from dux_agent.live.guarded_slot import GuardedSlot
from dux_agent.live.hooks import silenced
from dux_agent.live.parameter_identity import identities_of
from dux_agent.live.plain_data import encode_each
from dux_agent.live.plain_state import lowered

# What loading raises is looked for here as well.
from dux_agent.live.saved_checkpoint import CheckpointRefused as CheckpointRefused
from dux_sandbox.running_rule import RuleState, parameters_of

VERSION = 1


def pack(live: GuardedSlot) -> dict[str, Any]:
    """The live optimizer as plain data and tensors.

    Of the base optimizer the tensors are the live ones, as torch has it: copy them
    before the next step if they shall stay. A generated rule's are copies.
    """
    live.meet_groups()
    rule = live.running
    if rule is live.base_rule:
        entries, learned = rule.state_by_parameter(), RuleState()
        state = {
            index: dict(entries[parameter])
            for index, parameter in enumerate(parameters_of(live.param_groups))
            if parameter in entries
        }
    else:
        learned = live.rule_state()
        if live.running is not rule:
            return pack(live)  # fetching its state has rolled the rule back
        state = learned.state
    lower = _plain if rule.source is None else lowered
    state = {index: lower(entry) for index, entry in state.items()}
    tensors: list[torch.Tensor] = []
    attributes, _ = encode_each(learned.attributes, tensors)
    bases = [encode_each(each, tensors)[0] for each in live.base_predecessor.options]
    kept = {
        "attributes": attributes,
        "base_options": bases,
        "owned": [sorted(names) for names in live.owned],
        "steps": live.steps,
        "closure_use": str(rule.closure_use),
        "mode": getattr(rule, "mode", None),
        "makes": identities_of(parameters_of(live.param_groups)),
        "rates": live.schedule.saved().as_dict(),
    }
    groups: list[dict[str, Any]] = []
    first = 0
    for group in live.param_groups:
        packed = {name: value for name, value in group.items() if name != "params"}
        count = len(group["params"])
        packed["params"] = list(range(first, first + count))
        first += count
        groups.append(packed)
    groups[0]["dux"] = {
        "version": VERSION,
        "source": rule.source,
        "digest": rule.digest,
        "kept": json.dumps(kept),
        "tensors": tensors,
    }
    return {**_more(live), "state": state, "param_groups": groups}


def _more(live: GuardedSlot) -> dict[str, Any]:
    """What a base optimizer with a `state_dict` of its own keeps beside the state."""
    base = live.base
    own = type(base).state_dict is not torch.optim.Optimizer.state_dict
    if live.running is not live.base_rule or not own:
        return {}
    with silenced(base):
        return {
            name: value
            for name, value in base.state_dict().items()
            if name not in ("state", "param_groups")
        }


def copied_for_later(packed: dict[str, Any], live: GuardedSlot) -> dict[str, Any]:
    """What `state_dict` of `live` gave, out of reach of later steps."""
    shared = live.running is live.base_rule  # a generated rule's are copies
    return {
        name: copy_of_groups(value)
        if name == "param_groups"
        else (deepcopy(value) if shared else value)
        for name, value in packed.items()
    }


def _plain(value: Any) -> Any:
    """A trusted optimizer's value without what cannot be copied or pickled."""
    if isinstance(value, torch.Tensor):
        return value.detach() if value.requires_grad else value
    if isinstance(value, Mapping):  # a defaultdict's factory may be anything
        return {key: _plain(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_plain(item) for item in value)
    return value
