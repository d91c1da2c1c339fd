"""What the guard remembers, as plain data: a resumed run rolls back to the same place.

Without it a run that goes on from a checkpoint would be guarded anew: with no bound
for the loss at first, and with the base optimizer as its only predecessor.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from dux_agent.live.aftermath import Aftermath
from dux_agent.live.guarded_slot import GuardedSlot
from dux_agent.live.loss_bound import LossBound, LossJudge, pack_bound, unpack_bound
from dux_agent.live.plain_data import decode_each, encode_each
from dux_agent.live.plain_state import lowered, raised
from dux_agent.live.rates import pack_references, unpack_references
from dux_agent.live.rule_slot import Predecessor
from dux_agent.live.saved_checkpoint import (
    CheckpointRefused,
    closure_use,
    readable,
    refused,
    source_of,
)
from dux_agent.live.snapshot import Snapshot
from dux_agent.live.spoilt_state import (
    PreparedRows,
    held_snapshot,
    pack_aftermath,
    pack_rows,
    prepare_aftermath,
)
from dux_graphs.plain_json import read_json
from dux_sandbox.findings import RuleFailed, SourceRejected
from dux_sandbox.running import RuleState, RunningRule, parameters_of
from dux_sandbox.stock_state import check_loaded

Snapshots = Literal["all"] | bool


def pack_guard(
    live: GuardedSlot, snapshots: Snapshots = "all"
) -> dict[str, Any] | None:
    """The guard of `live` as plain data and tensors; None while it guards nothing.

    The tensors are the guard's own copies, or copies made here. A predecessor whose
    process no longer answers gives way to the base optimizer.

    Args:
        live: the live optimizer.
        snapshots: True: what is put back after a breach, and what the predecessor has
            learned. "all": with it what only a second breach would want, the base
            optimizer's state behind a generated predecessor, a snapshot that has not
            proved itself, and the one before the one that counts. False: none of
            these.
    """
    watch = live.guard.watch
    aftermath = pack_aftermath(live.guard) if snapshots == "all" else None
    if watch is None:
        return None if aftermath is None else {"aftermath": aftermath}
    waiting = _pack_waiting(live, watch.predecessor) if snapshots else None
    base = snapshots == "all" or (snapshots and waiting is None)
    pending = watch.pending if snapshots == "all" else None
    older = watch.older if snapshots == "all" else None
    snapshot = watch.snapshot if snapshots else None
    return {
        "aftermath": aftermath,
        "older": None if older is None else older.state_dict(),
        **(pack_rows(watch, pending=pending is not None) if snapshots else {}),
        "base": _pack_rule(live.base_rule) if base else None,
        "incumbent": waiting,  # its name in version 1
        "snapshot": None if snapshot is None else snapshot.state_dict(),
        "pending": None if pending is None else pending.state_dict(),
        "judge": watch.judge.state_dict(),
        "bound_at_snapshot": pack_bound(watch.bound_at_snapshot),
        "gradient_norm": watch.usual_norm(),
        "steps": watch.steps,
        "sees_losses": watch.sees_losses,
    }


@dataclass
class PreparedGuard:
    """What a guard remembered, read and built; nothing of the live one has changed.

    Attributes:
        base: what the base optimizer had learned; empty where that was left out.
        predecessor: built again; None: the base optimizer is.
        lost: why a predecessor could not be built again.
    """

    live: GuardedSlot
    base: RuleState
    snapshot: Snapshot | None
    pending: Snapshot | None
    judge: LossJudge
    bound_at_snapshot: LossBound | None
    gradient_norm: float | None
    steps: int
    sees_losses: bool
    rows: PreparedRows
    older: Snapshot | None = None
    aftermath: Aftermath | None = None
    predecessor: Predecessor | None = None
    lost: str | None = None

    def take_over(self) -> None:
        """Make the guard, which was armed anew for the loaded rule, go on from it."""
        live, watch = self.live, self.live.guard.watch
        if watch is None:
            return
        live.base_rule.restore(self.base)
        watch.snapshot, watch.pending = self.snapshot, self.pending
        watch.judge, watch.older = self.judge, self.older
        self.rows.take_over(watch)
        live.guard.aftermath = self.aftermath
        watch.bound_at_snapshot = self.bound_at_snapshot
        watch.gradient_norm = self.gradient_norm
        watch.steps, watch.sees_losses = self.steps, self.sees_losses
        if self.predecessor is not None:
            watch.predecessor = self.predecessor
        if self.lost is not None:
            live.guard.lose_predecessor(self.lost)

    def require_sound_base(self, options: Sequence[Mapping[str, Any]]) -> None:
        """Refuse a state that the base optimizer could not step with.

        Args:
            options: of each of its groups, as the checkpoint has them.

        Raises:
            CheckpointRefused: naming the entry.
        """
        parameters = parameters_of(self.live.param_groups)
        entries = [
            (parameter, self.base.state[index])
            for index, parameter in enumerate(parameters)
            if index in self.base.state
        ]
        fused = any(each.get("fused") for each in options)
        try:
            check_loaded(self.live.base, entries, fused=fused)
        except ValueError as error:
            said = f"the base optimizer's state would end a step: {error}"
            raise refused(said) from None

    def drop(self) -> None:
        """End the predecessor that was built."""
        if self.predecessor is not None:
            self.predecessor.rule.close()


def prepare_guard(live: GuardedSlot, state: Mapping[str, Any]) -> PreparedGuard:
    """Read what `pack_guard` gave; the predecessor is checked and built again.

    Raises:
        CheckpointRefused: the predecessor's source may not run, or it is damaged.
    """
    with readable("what the guard remembered"):
        return _prepared(live, state)


def _prepared(live: GuardedSlot, state: Mapping[str, Any]) -> PreparedGuard:
    if "at_swap" in state:  # of before the schedule was followed: only judged
        _require_groups(live, _options(state["at_swap"]))
    base = RuleState() if state["base"] is None else _rule_state(state["base"])
    prepared = PreparedGuard(
        live=live,
        base=base,
        snapshot=held_snapshot(live, state["snapshot"]),
        pending=held_snapshot(live, state["pending"]),
        older=held_snapshot(live, state.get("older")),
        rows=PreparedRows.of(state, live),
        aftermath=prepare_aftermath(live, state.get("aftermath")),
        judge=LossJudge.of(state["judge"]),
        bound_at_snapshot=unpack_bound(state["bound_at_snapshot"]),
        gradient_norm=state["gradient_norm"],
        steps=int(state["steps"]),
        sees_losses=bool(state["sees_losses"]),
    )
    if state["incumbent"] is not None:
        try:
            prepared.predecessor = _predecessor(live, state["incumbent"])
        except RuleFailed as failed:
            prepared.lost = f"it could not be built again: {failed.finding}"
    return prepared


def _require_groups(live: GuardedSlot, rows: Sequence[Any]) -> None:
    if len(rows) != len(live.param_groups):
        raise ValueError("it is of other groups")


def _pack_rule(rule: RunningRule, learned: RuleState | None = None) -> dict[str, Any]:
    learned = rule.snapshot() if learned is None else learned
    tensors: list[torch.Tensor] = []
    attributes, _ = encode_each(learned.attributes, tensors)
    state = learned.state
    if rule.source is not None:
        state = {index: lowered(entry) for index, entry in state.items()}
    return {"state": state, "attributes": json.dumps(attributes), "tensors": tensors}


def _rule_state(
    packed: Mapping[str, Any], parameters: list[torch.Tensor] | None = None
) -> RuleState:
    """What was learned; by a generated rule where its parameters are given."""
    kept = read_json(packed["attributes"], nan=True)
    attributes = decode_each(kept, list(packed["tensors"]))
    state = dict(packed["state"])
    if parameters is not None:
        state = {at: raised(each, parameters[at].device) for at, each in state.items()}
    return RuleState(state, attributes)


def _pack_waiting(live: GuardedSlot, waits: Predecessor) -> dict[str, Any] | None:
    if waits.rule is live.base_rule:
        return None
    try:
        return _pack_predecessor(waits, live.guard.last_waiting)
    except RuleFailed as failed:
        live.guard.lose_predecessor(f"it failed while it waited: {failed.finding}")
        return None


def _pack_predecessor(waits: Predecessor, learned: RuleState | None) -> dict[str, Any]:
    return {
        **_pack_rule(waits.rule, learned),
        "source": waits.rule.source,
        "digest": waits.rule.digest,
        "closure_use": str(waits.rule.closure_use),
        "mode": getattr(waits.rule, "mode", None),
        "owned": [sorted(names) for names in waits.owned],
        "options": _pack_options(waits.options),
        "references": pack_references(waits.references or ()),
    }


def _predecessor(live: GuardedSlot, packed: Mapping[str, Any]) -> Predecessor:
    source, digest = source_of(packed)
    learned = _rule_state(packed, parameters_of(live.param_groups))
    options = _options(packed["options"])
    owned = [{str(name) for name in names} for names in packed["owned"]]
    references = unpack_references(packed.get("references") or ())
    if references:
        _require_groups(live, references)
    here = live.guard.snapshot()
    try:
        # Building it checks the source again.
        rule = live.built_again(
            source, learned, closure_use(packed), mode=packed.get("mode")
        )
    except SourceRejected as error:
        raise CheckpointRefused(digest, error.report.findings) from None
    finally:
        here.restore()  # what building it may have written
    return Predecessor(rule, owned, options, references or None)


def _pack_options(options: list[dict[str, Any]]) -> dict[str, Any]:
    tensors: list[torch.Tensor] = []
    kept = [encode_each(each, tensors)[0] for each in options]
    return {"options": json.dumps(kept), "tensors": tensors}


def _options(packed: Mapping[str, Any]) -> list[dict[str, Any]]:
    tensors = list(packed["tensors"])
    return [
        decode_each(each, tensors) for each in read_json(packed["options"], nan=True)
    ]
