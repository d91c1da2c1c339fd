"""What a trace tells of each decision, put together: events in, one record each out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from dux_agent.trace import Event


@dataclass
class Story:
    """One decision, finished or not.

    Attributes:
        number: of the decision, 1-based.
        step: at which it was asked.
        decided_at: the step of its verdict; later than `step` where it was made in
            the background.
        epoch: how many epochs were over at its verdict; None in a run without epochs.
        verdict: "applied", "kept", "failed", "rolled_back"; "unfinished" so far.
        reason: why; of an unfinished one what was done last.
        digest: of the source that the verdict is about, "" where there is none.
        incumbent: digest of the rule that was live before, "" for the base optimizer.
        before, after: validation losses around it where the run has them, else
            training losses; None where there is none (yet).
        seconds: wall time of the decision, None while it is unfinished.
        usage: calls and tokens.
        tries: replies it got.
        events: everything the trace holds of it, in order.
    """

    number: int
    step: int
    decided_at: int
    epoch: int | None = None
    verdict: str = "unfinished"
    reason: str = ""
    digest: str = ""
    incumbent: str = ""
    before: float | None = None
    after: float | None = None
    seconds: float | None = None
    usage: dict[str, Any] = field(default_factory=dict)
    tries: int = 0
    events: list[Event] = field(default_factory=list)

    @property
    def tokens(self) -> int | None:
        """All tokens it cost, if the trace says so."""
        total = self.usage.get("total_tokens")
        return total if isinstance(total, int) else None

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        """The data of its events of one kind."""
        return [event.data for event in self.events if event.kind == kind]

    def as_dict(self) -> dict[str, Any]:
        """Plain data, as `dux trace --json` prints it."""
        names = (
            "number step decided_at epoch verdict reason digest incumbent before after "
            "seconds usage tries"
        ).split()
        return {name: getattr(self, name) for name in names}


def epochs_in(events: Iterable[Event], scope: str = "epoch") -> list[Event]:
    """The events that end an epoch, of the agent's course or of the control's."""
    return [
        event
        for event in events
        if event.kind == "loss" and event.data.get("scope") == scope
    ]


def stories(events: Sequence[Event]) -> list[Story]:
    """The decisions of a trace, by number."""
    told: dict[int, Story] = {}
    for event in events:
        if isinstance(event.decision, int):
            new = Story(event.decision, event.step, event.step)
            story = told.setdefault(event.decision, new)
            story.events.append(event)
            _take_in(story, event)
    found = [told[number] for number in sorted(told)]
    _add_losses(found, epochs_in(events))
    live, previous = "", ""
    for story in found:
        story.incumbent = live
        if story.verdict == "applied":
            live, previous = story.digest, live
        elif story.verdict == "rolled_back" and live == story.digest:
            live = previous
    return found


def _take_in(story: Story, event: Event) -> None:
    data = event.data
    if event.kind == "reply":
        story.tries += 1
    if event.kind == "apply":
        story.verdict = str(data.get("verdict", ""))
        story.decided_at = event.step
        story.seconds = _number(data.get("seconds"))
        usage = data.get("usage")
        story.usage = usage if isinstance(usage, dict) else {}
    elif event.kind == "rollback":
        story.verdict = "rolled_back"
    elif story.verdict == "unfinished":
        story.reason = f"the last event is {event.kind}"
        return
    else:
        return
    story.reason = str(data.get("reason") or "")
    story.digest = str(data.get("digest") or "")


def _add_losses(found: list[Story], epochs: list[Event]) -> None:
    """Losses around each decision: of the epochs, else of the observations."""
    seen = [_seen(story) for story in found]
    for place, story in enumerate(found):
        over = [epoch for epoch in epochs if epoch.step <= story.decided_at]
        later = [epoch for epoch in epochs if epoch.step > story.decided_at]
        if epochs:
            story.epoch = len(over)
            story.before = _number(over[-1].data.get("val")) if over else None
            story.after = _number(later[0].data.get("val")) if later else None
        else:
            story.before = seen[place]
            story.after = seen[place + 1] if place + 1 < len(seen) else None


def _seen(story: Story) -> float | None:
    """The loss that its observation shows: the validation's, else the newest fifth."""
    for data in story.of_kind("observation"):
        validations = data.get("validation_losses")
        if isinstance(validations, list) and validations:
            pair = validations[-1]
            return _number(pair[-1]) if isinstance(pair, list) and pair else None
        fifths = data.get("loss_fifths")
        if isinstance(fifths, list) and fifths:
            return _number(fifths[-1])
    return None


def _number(value: Any) -> float | None:
    try:
        return None if value is None else float(value)
    except (TypeError, ValueError):
        return None
