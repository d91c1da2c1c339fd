"""What the guard keeps to see that a snapshot was spoilt, as plain data.

Which rows gradients have reached, the snapshot before the one that counts, and what is
watched after a rollback. A run that goes on from a checkpoint sees what the one that
died would have seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dux_agent.live.aftermath import Aftermath
from dux_agent.live.guard import Guard
from dux_agent.live.guarded_rule import GuardedRule
from dux_agent.live.guarded_slot import GuardedSlot
from dux_agent.live.snapshot import Snapshot
from dux_agent.live.untouched_rows import UntouchedRows
from dux_sandbox.running import parameters_of


def pack_rows(watch: GuardedRule, *, pending: bool) -> dict[str, Any]:
    """Which rows gradients have reached, in tensors of their own.

    Args:
        watch: of the live rule.
        pending: the pending snapshot is kept too; else rows count from the one before.
    """
    rows, to_pending = watch.rows, watch.rows_to_pending
    if not pending and rows is not None and to_pending is not None:
        rows, to_pending = rows.with_those_of(to_pending), None
    return {
        name: None if each is None else each.state_dict()
        for name, each in (("rows", rows), ("rows_to_pending", to_pending))
    }


@dataclass(frozen=True)
class PreparedRows:
    """Rows as a checkpoint has them; `known` is False where it is older than they."""

    rows: UntouchedRows | None
    rows_to_pending: UntouchedRows | None
    known: bool

    @classmethod
    def of(cls, state: Mapping[str, Any], live: GuardedSlot) -> PreparedRows:
        """Read what `pack_rows` gave.

        Raises:
            TypeError, ValueError: it is damaged, or of other parameters.
        """
        parameters = parameters_of(live.param_groups)
        rows, to_pending = (
            None if state.get(name) is None else UntouchedRows(parameters, state[name])
            for name in ("rows", "rows_to_pending")
        )
        return cls(rows, to_pending, "rows" in state)

    def take_over(self, watch: GuardedRule) -> None:
        """Watch these rows from now on."""
        if watch.snapshot is None:
            return  # the first step takes one: rows count from there
        watch.rows_to_pending = self.rows_to_pending if watch.pending else None
        # Which rows had gradients before an older checkpoint is not known.
        watch.rows = self.rows if self.known else None


def pack_aftermath(guard: Guard) -> dict[str, Any] | None:
    """What is watched after a rollback; None where nothing is."""
    return None if guard.aftermath is None else guard.aftermath.state_dict()


def prepare_aftermath(
    live: GuardedSlot, state: Mapping[str, Any] | None
) -> Aftermath | None:
    """Read what `pack_aftermath` gave.

    Raises:
        LookupError, TypeError, ValueError: it is damaged, or of another model.
    """
    older = None if state is None else held_snapshot(live, state["older"])
    return None if state is None or older is None else Aftermath.of(state, older)


def held_snapshot(
    live: GuardedSlot, state: Mapping[str, Any] | None
) -> Snapshot | None:
    """A snapshot of a checkpoint, where the guard keeps any.

    Raises:
        LookupError, TypeError, ValueError: it is damaged, or of another model.
    """
    guard = live.guard
    if state is None or not guard.keeps:
        return None
    parameters = parameters_of(live.param_groups)
    return Snapshot.of(state, parameters, guard.model, host=guard.snapshots == "host")
