"""What the guard remembers, as plain data: a resumed run rolls back to the same place.

Without it a run that goes on from a checkpoint would be guarded anew: with no bound
for the loss at first, and with the base optimizer as its only incumbent.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch

from dux_agent.live.aftermath import Aftermath
from dux_agent.live.loss_bound import LossBound, LossJudge, pack_bound, unpack_bound
from dux_agent.live.plain_data import decode_each, encode_each
from dux_agent.live.plain_state import lowered, raised
from dux_agent.live.rates import pack_references, unpack_references
from dux_agent.live.saved_checkpoint import (
    CheckpointRefused,
    closure_use,
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
from dux_agent.live.standing import Standing
from dux_graphs.plain_json import read_json
from dux_sandbox.findings import RuleFailed, SourceRejected
from dux_sandbox.running import RuleState, RunningRule, parameters_of
from dux_sandbox.stock_state import check_loaded

if TYPE_CHECKING:
    from dux_agent.live.optimizer import DuxOptimizer

Snapshots = Literal["all"] | bool


def pack_guard(
    live: DuxOptimizer, snapshots: Snapshots = "all"
) -> dict[str, Any] | None:
    """The guard of `live` as plain data and tensors; None while it guards nothing.

    The tensors are the guard's own copies, or copies made here. An incumbent whose
    process no longer answers gives way to the base optimizer.

    Args:
        live: the live optimizer.
        snapshots: True: what is put back after a breach, and what the incumbent has
            learned. "all": with it what only a second breach would want, the base
            optimizer's state behind a generated incumbent, a snapshot that has not
            proved itself, and the one before the one that counts. False: none of
            these.
    """
    watch = live.guard.watch
    aftermath = pack_aftermath(live.guard) if snapshots == "all" else None
    if watch is None:
        return None if aftermath is None else {"aftermath": aftermath}
    incumbent = _pack_incumbent(live, watch.incumbent) if snapshots else None
    base = snapshots == "all" or (snapshots and incumbent is None)
    pending = watch.pending if snapshots == "all" else None
    older = watch.older if snapshots == "all" else None
    snapshot = watch.snapshot if snapshots else None
    return {
        "aftermath": aftermath,
        "older": None if older is None else older.state_dict(),
        **(pack_rows(watch, pending=pending is not None) if snapshots else {}),
        "base": _pack_rule(live.base_rule) if base else None,
        "incumbent": incumbent,
        "snapshot": None if snapshot is None else snapshot.state_dict(),
        "pending": None if pending is None else pending.state_dict(),
        "judge": watch.judge.state_dict(),
        "bound_at_snapshot": pack_bound(watch.bound_at_snapshot),
        "gradient_norm": watch.gradient_norm,
        "steps": watch.steps,
        "sees_losses": watch.sees_losses,
    }


@dataclass
class PreparedGuard:
    """What a guard remembered, read and built; nothing of the live one has changed.

    Attributes:
        base: what the base optimizer had learned; empty where that was left out.
        incumbent: built again; None: the base optimizer is.
        lost: why an incumbent could not be built again.
    """

    live: DuxOptimizer
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
    incumbent: Standing | None = None
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
        if self.incumbent is not None:
            watch.incumbent = self.incumbent
        if self.lost is not None:
            live.guard.lose_incumbent(self.lost)

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
            raise refused(
                f"the base optimizer's state would end a step: {error}"
            ) from None

    def drop(self) -> None:
        """End the incumbent that was built."""
        if self.incumbent is not None:
            self.incumbent.rule.close()


def prepare_guard(live: DuxOptimizer, state: Mapping[str, Any]) -> PreparedGuard:
    """Read what `pack_guard` gave; the incumbent is checked and built again.

    Raises:
        CheckpointRefused: the incumbent's source may not run, or it is damaged.
    """
    with readable():
        return _prepared(live, state)


@contextmanager
def readable() -> Iterator[None]:
    """Refuse the checkpoint where what the guard remembered cannot be read."""
    try:
        yield
    except CheckpointRefused:
        raise
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise refused(f"what the guard remembered cannot be read: {error}") from None


def _prepared(live: DuxOptimizer, state: Mapping[str, Any]) -> PreparedGuard:
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
            prepared.incumbent = _standing(live, state["incumbent"])
        except RuleFailed as failed:
            prepared.lost = f"it could not be built again: {failed.finding}"
    return prepared


def _require_groups(live: DuxOptimizer, rows: Sequence[Any]) -> None:
    if len(rows) != len(live.param_groups):
        raise ValueError("it is of other groups")


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
    except RuleFailed as failed:
        live.guard.lose_incumbent(f"it failed while it waited: {failed.finding}")
        return None


def _pack_standing(standing: Standing) -> dict[str, Any]:
    return {
        **_pack_rule(standing.rule),
        "source": standing.rule.source,
        "digest": standing.rule.digest,
        "closure_use": str(standing.rule.closure_use),
        "owned": [sorted(names) for names in standing.owned],
        "options": _pack_options(standing.options),
        "references": pack_references(standing.references or ()),
    }


def _standing(live: DuxOptimizer, packed: Mapping[str, Any]) -> Standing:
    source, digest = source_of(packed)
    learned = _rule_state(packed, parameters_of(live.param_groups))
    options = _options(packed["options"])
    owned = [{str(name) for name in names} for names in packed["owned"]]
    references = unpack_references(packed.get("references") or ())
    if references:
        _require_groups(live, references)
    here = live.guard.snapshot()
    rule: RunningRule | None = None
    try:
        # Building it checks the source again.
        rule = live.build(source, live.param_groups)
        rule.restore(learned)
        rule.closure_use = closure_use(packed)
    except SourceRejected as error:
        raise CheckpointRefused(digest, error.report.findings) from None
    except BaseException:
        if rule is not None:
            rule.close()
        raise
    finally:
        here.restore()  # what building it may have written
    return Standing(rule, owned, options, references or None)


def _pack_options(options: list[dict[str, Any]]) -> dict[str, Any]:
    tensors: list[torch.Tensor] = []
    kept = [encode_each(each, tensors)[0] for each in options]
    return {"options": json.dumps(kept), "tensors": tensors}


def _options(packed: Mapping[str, Any]) -> list[dict[str, Any]]:
    tensors = list(packed["tensors"])
    return [
        decode_each(each, tensors) for each in read_json(packed["options"], nan=True)
    ]
