"""A live optimizer as a checkpoint, and back.

The layout is torch's, `{"state": {index: {...}}, "param_groups": [...]}`. What torch
does not know lies in `param_groups[0]["dux"]`, since a key at the top is dropped by
`torch.distributed.checkpoint`:

    version       1
    source        the live rule's text, or None while the base optimizer is live
    digest        its SHA-256
    kept          JSON: the rule's plain attributes, the base optimizer's options,
                  which options are the rule's own, what it does with closures
    tensors       the tensors that `kept` refers to
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from itertools import chain
from typing import TYPE_CHECKING, Any

import torch

from dux_agent.live.group_options import copy_of_groups, options_of, rewrite
from dux_agent.live.plain_data import encode_each
from dux_agent.live.plain_state import lowered, raised
from dux_agent.live.saved_checkpoint import (
    CheckpointRefused,
    SavedCheckpoint,
    opened,
)
from dux_sandbox.findings import RuleFailed, SourceRejected, digest_of
from dux_sandbox.running import InlineRule, RuleState, parameters_of

if TYPE_CHECKING:
    from dux_agent.live.optimizer import DuxOptimizer

VERSION = 1


def pack(live: DuxOptimizer) -> dict[str, Any]:
    """The live optimizer as plain data and tensors.

    Inline the tensors of the state are the live ones, as torch has it: copy them
    before the next step if they shall stay. An isolated rule's are copies.
    """
    rule = live.running
    if isinstance(rule, InlineRule):
        try:
            learned = rule.learned()
        except RuleFailed as failed:
            live.guard.breach(f"the rule failed: {failed.finding}")
            return pack(live)
        state = learned.state
    else:
        learned = live.rule_state()
        if live.running is not rule:
            return pack(live)  # fetching its state has rolled the rule back
        state = learned.state
    lower = _plain if rule.source is None else lowered
    state = {index: lower(entry) for index, entry in state.items()}
    tensors: list[torch.Tensor] = []
    attributes, _ = encode_each(learned.attributes, tensors)
    bases = [encode_each(each, tensors)[0] for each in live.base_standing.options]
    kept = {
        "attributes": attributes,
        "base_options": bases,
        "owned": [sorted(names) for names in live.owned],
        "steps": live.steps,
        "closure_use": str(rule.closure_use),
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
    return {"state": state, "param_groups": groups}


def copy_of(packed: dict[str, Any]) -> dict[str, Any]:
    """A copy of what `pack` gave that later steps do not reach."""
    return {
        name: copy_of_groups(value) if name == "param_groups" else deepcopy(value)
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


def load_checkpoint(live: DuxOptimizer, state_dict: dict[str, Any]) -> None:
    """Make `live` go on from `state_dict`; see `DuxOptimizer.load_state_dict`."""
    saved = opened(state_dict)
    _check_groups(live, saved.groups)
    if saved.source is None:
        _load_base(live, saved)
    else:
        learned = RuleState(_state_by_index(live, saved), saved.attributes)
        _load_rule(live, saved.source, saved, learned)
        if len(saved.base_options) == len(live.param_groups):
            names = set(live.base.defaults)
            live.set_base_options(
                [
                    {**here, **{n: v for n, v in each.items() if n in names}}
                    for here, each in zip(
                        live.base_standing.options, saved.base_options, strict=True
                    )
                ]
            )
        # The weights may be loaded after this: the guard looks at the first step.
        live.guard.arm(live.base_standing, None)
    live.steps = saved.steps


def _check_groups(live: DuxOptimizer, saved: list[dict[str, Any]]) -> None:
    here = [len(group["params"]) for group in live.param_groups]
    there = [len(group["params"]) for group in saved]
    if here != there:
        raise ValueError(
            f"the checkpoint has groups of {there} parameters and the optimizer of "
            f"{here}; load it into an optimizer over the same parameter groups."
        )


def _state_by_index(
    live: DuxOptimizer, saved: SavedCheckpoint
) -> dict[int, dict[str, Any]]:
    """The state keyed by place; a checkpoint may key it by any name it likes."""
    parameters = parameters_of(live.param_groups)
    names = list(chain.from_iterable(group["params"] for group in saved.groups))
    place = {name: index for index, name in enumerate(names)}
    held: dict[int, dict[str, Any]] = {}
    for name, entry in saved.state.items():
        if name not in place or not isinstance(entry, dict):
            continue
        index = place[name]
        held[index] = raised(entry, parameters[index].device)
    return held


def _load_base(live: DuxOptimizer, saved: SavedCheckpoint) -> None:
    groups = live.param_groups
    live.base.load_state_dict({"state": saved.state, "param_groups": saved.groups})
    _let_go(live)
    for group, loaded in zip(groups, live.base.param_groups, strict=True):
        rewrite(group, options_of(loaded))
    # load_state_dict gave the base optimizer dicts of its own: share again.
    owned = [set(live.base.defaults) & set(group) for group in groups]
    live.make_live(live.base_rule, owned)
    live.guard.disarm()


def _load_rule(
    live: DuxOptimizer,
    source: str,
    saved: SavedCheckpoint,
    learned: RuleState,
) -> None:
    snapshot = live.guard.snapshot()
    rule = None
    try:
        rule = live.build(source, live.param_groups)
        rule.restore(learned)
        rule.closure_use = saved.closure_use
    except (RuleFailed, SourceRejected) as error:
        if rule is not None:
            rule.close()
        snapshot.restore()
        findings = (
            (error.finding,)
            if isinstance(error, RuleFailed)
            else tuple(error.report.findings)
        )
        raise CheckpointRefused(digest_of(source), findings) from None
    snapshot.restore()  # what building it may have written
    standing = live.base_standing
    _let_go(live)
    live.set_base_options(standing.options)
    for group, options in zip(live.param_groups, saved.groups, strict=True):
        rewrite(group, {k: v for k, v in options.items() if k != "params"})
    owned = [set(rule.defaults) & set(group) for group in live.param_groups]
    if len(saved.owned) == len(owned):
        # A name may be in the group and be the user's: what was written down counts.
        owned = [set(names) for names in saved.owned]
    live.make_live(rule, owned)


def _let_go(live: DuxOptimizer) -> None:
    """End the rules that the loaded one replaces."""
    incumbent = live.guard.incumbent
    for rule in (live.running, incumbent.rule if incumbent is not None else None):
        if rule is not None and rule is not live.base_rule:
            rule.close()
