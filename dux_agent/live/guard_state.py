"""What the guard remembers, as plain data: a resumed run rolls back to the same place.

Without it a run that goes on from a checkpoint would be guarded anew: with no bound
for the loss at first, and with the base optimizer as its only incumbent.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from dux_agent.live.loss_bound import LossJudge, pack_bound, unpack_bound
from dux_agent.live.plain_data import decode_each, encode_each
from dux_agent.live.plain_state import lowered, raised
from dux_agent.live.saved_checkpoint import (
    CheckpointRefused,
    closure_use,
    refused,
    source_of,
)
from dux_agent.live.snapshot import Snapshot
from dux_agent.live.standing import Standing
from dux_graphs.plain_json import read_json
from dux_sandbox.findings import RuleFailed, SourceRejected
from dux_sandbox.running import RuleState, RunningRule, parameters_of

if TYPE_CHECKING:
    from dux_agent.live.optimizer import DuxOptimizer

log = logging.getLogger(__name__)


def pack_guard(live: DuxOptimizer) -> dict[str, Any] | None:
    """The guard of `live` as plain data and tensors; None while it guards nothing.

    The tensors are the guard's own copies, or copies made here. An incumbent whose
    process no longer answers is left out: the base optimizer takes its place.
    """
    watch = live.guard.watch
    if watch is None:
        return None
    return {
        "base": _pack_rule(live.base_rule),
        "incumbent": _pack_incumbent(live, watch.incumbent),
        "at_swap": _pack_options(watch.at_swap),
        "snapshot": None if watch.snapshot is None else watch.snapshot.state_dict(),
        "pending": None if watch.pending is None else watch.pending.state_dict(),
        "judge": watch.judge.state_dict(),
        "bound_at_snapshot": pack_bound(watch.bound_at_snapshot),
        "gradient_norm": watch.gradient_norm,
        "steps": watch.steps,
        "sees_losses": watch.sees_losses,
    }


def restore_guard(live: DuxOptimizer, state: Mapping[str, Any] | None) -> None:
    """Make the guard of `live` go on from `state`.

    Call it after `live.load_state_dict`, which has armed the guard anew, and after
    the weights were loaded. The incumbent is checked and built again.

    Raises:
        CheckpointRefused: the incumbent's source may not run, or it is damaged.
    """
    if state is None or live.guard.watch is None:
        return
    try:
        _restore(live, state)
    except CheckpointRefused:
        raise
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise refused(f"what the guard remembered cannot be read: {error}") from None


def _restore(live: DuxOptimizer, state: Mapping[str, Any]) -> None:
    watch = live.guard.watch
    if watch is None:
        return
    parameters = parameters_of(live.param_groups)
    live.base_rule.restore(_rule_state(state["base"]))
    watch.at_swap = _options(state["at_swap"])
    for name in ("snapshot", "pending"):
        kept = state[name]
        made = None
        if kept is not None:
            made = Snapshot.of(kept, parameters, live.guard.model)
        setattr(watch, name, made)
    watch.judge = LossJudge.of(state["judge"])
    watch.bound_at_snapshot = unpack_bound(state["bound_at_snapshot"])
    watch.gradient_norm = state["gradient_norm"]
    watch.steps = int(state["steps"])
    watch.sees_losses = bool(state["sees_losses"])
    if state["incumbent"] is None:
        return
    try:
        watch.incumbent = _standing(live, state["incumbent"])
    except RuleFailed as failed:
        log.warning(
            "the incumbent could not be built again: %s; the base optimizer takes its "
            "place.",
            failed.finding,
        )


def _pack_rule(rule: RunningRule) -> dict[str, Any]:
    learned = rule.snapshot()
    tensors: list[torch.Tensor] = []
    attributes, _ = encode_each(learned.attributes, tensors)
    state = learned.state
    if rule.source is not None:
        state = {index: lowered(entry) for index, entry in state.items()}
    return {
        "state": state,
        "attributes": json.dumps(attributes),
        "tensors": tensors,
    }


def _rule_state(
    packed: Mapping[str, Any], parameters: list[torch.Tensor] | None = None
) -> RuleState:
    """What was learned; by a generated rule where its parameters are given."""
    kept = read_json(packed["attributes"], nan=True)
    attributes = decode_each(kept, list(packed["tensors"]))
    state = dict(packed["state"])
    if parameters is not None:
        state = {
            index: raised(entry, parameters[index].device)
            for index, entry in state.items()
        }
    return RuleState(state, attributes)


def _pack_incumbent(live: DuxOptimizer, standing: Standing) -> dict[str, Any] | None:
    if standing.rule is live.base_rule:
        return None
    try:
        return _pack_standing(standing)
    except RuleFailed:
        return None


def _pack_standing(standing: Standing) -> dict[str, Any]:
    return {
        **_pack_rule(standing.rule),
        "source": standing.rule.source,
        "digest": standing.rule.digest,
        "closure_use": str(standing.rule.closure_use),
        "owned": [sorted(names) for names in standing.owned],
        "options": _pack_options(standing.options),
    }


def _standing(live: DuxOptimizer, packed: Mapping[str, Any]) -> Standing:
    source, digest = source_of(packed)
    here = live.guard.snapshot()
    rule: RunningRule | None = None
    try:
        # Building it checks the source again.
        rule = live.build(source, live.param_groups)
        rule.restore(_rule_state(packed, parameters_of(live.param_groups)))
        rule.closure_use = closure_use(packed)
    except SourceRejected as error:
        raise CheckpointRefused(digest, error.report.findings) from None
    except BaseException:
        if rule is not None:
            rule.close()
        raise
    finally:
        here.restore()  # what building it may have written
    owned = [{str(name) for name in names} for names in packed["owned"]]
    return Standing(rule, owned, _options(packed["options"]))


def _pack_options(options: list[dict[str, Any]]) -> dict[str, Any]:
    tensors: list[torch.Tensor] = []
    kept = [encode_each(each, tensors)[0] for each in options]
    return {"options": json.dumps(kept), "tensors": tensors}


def _options(packed: Mapping[str, Any]) -> list[dict[str, Any]]:
    tensors = list(packed["tensors"])
    return [
        decode_each(each, tensors) for each in read_json(packed["options"], nan=True)
    ]
