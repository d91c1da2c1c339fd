"""What a run that died had written after the moment it is resumed from.

A resumed run goes through the same steps again, from its last checkpoint on, and makes
the same events again. Those that stand in the trace already are not written a second
time, so that the file only ever grows and still reads as one run; and a reply that
stands there has been paid for, so the model is not asked again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dux_agent.trace import Event

# By kind, the entries of `data` that tell one event of a step from another. Losses are
# told apart by their place alone: on a machine that does not repeat itself to the last
# bit, the trace keeps what the first pass had measured.
_IDENTITY: dict[str, tuple[str, ...]] = {
    "observation": (),
    "prompt": ("digest",),
    "reply": ("prompt", "content"),
    "static_check": ("digest", "ok"),
    "dry_run": ("digest", "ok"),
    "apply": ("digest", "verdict"),
    "rollback": ("digest",),
    "loss": ("scope", "epoch"),
    "error": ("error", "message"),
}


class Tail:
    """The events that a resumed run meets again."""

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self._held: dict[tuple[Any, ...], list[Event]] = {}
        for event in events:
            self._held.setdefault(_identity(event), []).append(event)

    def take(self, event: Event) -> Event | None:
        """The recorded twin of this event, once for each time it was recorded."""
        twins = self._held.get(_identity(event))
        if not twins:
            return None
        twin = twins.pop(0)
        if not twins:
            del self._held[_identity(event)]
        return twin

    def contradicts(self, event: Event) -> Event | None:
        """What the trace says instead of this `apply`, if it says something else."""
        if event.kind != "apply":
            return None
        for recorded in self._of(event.decision, "apply"):
            return recorded
        return None

    def reply_to(self, decision: int, prompt: str) -> Event | None:
        """The recorded reply to a prompt of that digest; it stays where it is."""
        for recorded in self._of(decision, "reply"):
            if recorded.data.get("prompt") == prompt:
                return recorded
        return None

    def replies(self, decision: int) -> list[Event]:
        """The recorded replies of a decision, in order; they stay where they are."""
        return self._of(decision, "reply")

    def _of(self, decision: int | None, kind: str) -> list[Event]:
        found = [
            event
            for events in self._held.values()
            for event in events
            if event.kind == kind and event.decision == decision
        ]
        return sorted(found, key=lambda event: event.time)


def _identity(event: Event) -> tuple[Any, ...]:
    told = tuple(str(event.data.get(name)) for name in _IDENTITY.get(event.kind, ()))
    # The step of a rollback, an error and a loss is theirs; what belongs to the stages
    # of a decision has the step of the decision.
    return (event.kind, event.decision, event.step, *told)
