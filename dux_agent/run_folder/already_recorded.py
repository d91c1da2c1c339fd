"""What a run that died had written after the moment it is resumed from.

A resumed run goes through the same steps again, from its last checkpoint on, and makes
the same events again. Those that stand in the trace already are not written a second
time, so that the file only ever grows and still reads as one run; and a reply that
stands there has been paid for, so the model is not asked again.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dux_agent.errors import RunFolderUnusable
from dux_agent.run_folder.own_files import open_own
from dux_agent.run_folder.trace import Event, placed
from dux_graphs.events import ReplyEvent

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
    "trial": ("scope", "config"),
    "error": ("error", "message"),
}


class AlreadyRecorded:
    """The events that a resumed run meets again.

    >>> told = Event(0.0, 7, None, "loss", {"loss": 0.5})
    >>> tail = AlreadyRecorded([(120, told)])
    >>> tail.first, tail.take(told) == told, tail.first
    (120, True, None)
    """

    def __init__(self, placed_events: Iterable[tuple[int, Event]] = ()) -> None:
        """Each with the byte of the trace at which its line begins."""
        self._held: dict[tuple[Any, ...], list[tuple[int, Event]]] = {}
        for place, event in placed_events:
            self._held.setdefault(_identity(event), []).append((place, event))

    @property
    def first(self) -> int | None:
        """Where the first event lies that is still to be met; None when all were.

        A checkpoint that is written meanwhile goes on from there and not from the end
        of the trace, or what is still to be met would be told a second time.
        """
        places = [place for twins in self._held.values() for place, _ in twins]
        return min(places, default=None)

    def take(self, event: Event) -> Event | None:
        """The recorded twin of this event, once for each time it was recorded."""
        if not self._held:
            return None
        if event.kind == "observation":
            self._drop_before(event)
        identity = _identity(event)
        twins = self._held.get(identity)
        if not twins:
            return None
        _, twin = twins.pop(0)
        if not twins:
            del self._held[identity]
        return twin

    def _drop_before(self, observation: Event) -> None:
        """A decision begins; what earlier ones skipped this time will not be met.

        The graph goes on where it was, so its first stages may not be told again. A
        rollback is told later than the decision that it undoes.
        """
        for identity in list(self._held):
            kind, decision, step = identity[:3]
            if decision is None or decision >= (observation.decision or 0):
                continue
            if kind != "rollback" or step < observation.step:
                del self._held[identity]

    def contradicts(self, event: Event) -> Event | None:
        """What the trace says instead of this `apply`, if it says something else."""
        told = self.of(event.decision, "apply") if event.kind == "apply" else ()
        return next(iter(told), None)

    def reply_to(self, decision: int, prompt: str) -> Event | None:
        """The recorded reply to a prompt of that digest; it stays where it is."""
        replies = ((each.body, each) for each in self.of(decision, "reply"))
        return next(
            (r for b, r in replies if isinstance(b, ReplyEvent) and b.prompt == prompt),
            None,
        )

    def of(self, decision: int | None, kind: str) -> list[Event]:
        """What is recorded of a kind and decision, in order; it stays where it is."""
        found = [
            event
            for twins in self._held.values()
            for _, event in twins
            if event.kind == kind and event.decision == decision
        ]
        return sorted(found, key=lambda event: event.time)


def _identity(event: Event) -> tuple[Any, ...]:
    names = _IDENTITY.get(event.kind, ())
    told = tuple(str(getattr(event.body, name, None)) for name in names)
    # The step of a rollback, an error and a loss is theirs; what belongs to the stages
    # of a decision has the step of the decision. Made in the background, it ends when
    # it is over.
    step = None if event.kind == "apply" else event.step
    return (event.kind, event.decision, step, *told)


def tail_after(folder: Path, position: int) -> AlreadyRecorded:
    """What stands in the trace of `folder` from byte `position` on.

    Raises:
        RunFolderUnusable: no line begins there; it is the position in another trace.
    """
    places, after = {0}, []
    for place, event in placed(folder):
        places.add(place)
        if place >= position:
            after.append((place, event))
    places.add((folder / "trace.jsonl").stat().st_size)
    if position not in places:
        raise RunFolderUnusable(
            f"the trace in {folder} has no line that begins at byte {position}, where "
            f"its checkpoint goes on; both must be of one run; restore the folder."
        )
    return AlreadyRecorded(after)


def mend(trace: Path) -> None:
    """Cut a last line off that is no event; end it where its line end is missing."""
    with open_own(trace, "rb+") as file:
        content = file.readall()
        body = content.removesuffix(b"\n")
        last = body[body.rfind(b"\n") + 1 :]
        if not content:
            return
        try:
            Event.from_line(last.decode("utf-8"))
        except (ValueError, TypeError):
            file.truncate(len(body) - len(last))
        else:
            if body == content:
                file.write(b"\n")
