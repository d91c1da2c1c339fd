"""The outcomes of a run, made of the events that its trace holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from dux_graphs.events import EventBody
from dux_graphs.search.strategy import Outcome


class Told(Protocol):
    """An event of a trace."""

    @property
    def body(self) -> EventBody | None: ...
    @property
    def step(self) -> int: ...
    @property
    def decision(self) -> int | None: ...


class Archive:
    """Hears the events of a run in their order, live or from its trace.

    >>> archive = Archive()
    >>> check = {"number": [1, 1], "digest": "d1", "ok": True, "findings": []}
    >>> archive.hear("static_check", check, step=10, decision=1)
    >>> [outcome.stage for outcome in archive.outcomes()]
    ['static_check']
    """

    def __init__(self, source_of: Callable[[str], str | None] | None = None) -> None:
        """Nothing was heard yet.

        Args:
            source_of: digest to source, where a folder holds them; what is in `sources`
                counts first.
        """
        self.sources: dict[str, str] = {}
        self._source_of = source_of or (lambda digest: None)
        self._attempts: dict[tuple[int, int, int], dict[str, Any]] = {}
        self.steps: dict[int, int] = {}
        self._applied: dict[int, str] = {}
        self._rolled_back: set[int] = set()
        self.intervals: dict[int, tuple[tuple[float, ...], float | None]] = {}

    @classmethod
    def of(
        cls, events: Iterable[Told], source_of: Callable[[str], str | None]
    ) -> Archive:
        """The archive of a whole trace."""
        archive = cls(source_of)
        for event in events:
            body = event.body
            if body is not None:  # somebody else's, or a newer version's
                said = body.entries()
                archive.hear(body.kind, said, step=event.step, decision=event.decision)
        return archive

    def hear(
        self, kind: str, data: Mapping[str, Any], *, step: int, decision: int | None
    ) -> None:
        """One event; those that say nothing of proposals are passed over."""
        if decision is None:
            return
        if kind == "observation":
            self.steps[decision] = step
            last = max((n for n in self.steps if n < decision), default=0)
            if last in self._applied:
                fifths = tuple(map(float, data.get("loss_fifths") or ()))
                self.intervals[last] = (fifths, _validated_at(step, data))
        elif kind in ("static_check", "dry_run"):
            self._judge(kind, data, decision)
        elif kind == "apply" and data.get("verdict") == "applied":
            self._applied[decision] = str(data.get("digest"))
        elif kind == "rollback":
            self._rolled_back.add(decision)
            self._applied.setdefault(decision, str(data.get("digest")))

    def outcomes(self, before: int | None = None) -> tuple[Outcome, ...]:
        """Every proposal in order, or those of the decisions before one.

        A rule that went live is in `applied`; the rest of what is known of it too.
        """
        return tuple(
            self._outcome(place, attempt)
            for place, attempt in self._attempts.items()
            if before is None or place[0] < before
        )

    def lived(self) -> list[Outcome]:
        """The outcomes of those that were applied, whose interval is over, in order."""
        return [
            o for o in self.outcomes() if o.applied and o.decision in self.intervals
        ]

    def take(self, decision: int, attempt: Mapping[str, Any]) -> None:
        """An attempt of a decision as its state holds it, see `DecisionState`."""
        digest, source = attempt["digest"], attempt["source"]
        if digest:
            self.sources[digest] = source
        place = (decision, attempt["try"], attempt["candidate"])
        self._attempts.pop(place, None)
        self._attempts[place] = {k: v for k, v in attempt.items() if k != "source"}

    def _judge(self, kind: str, data: Mapping[str, Any], decision: int) -> None:
        number = tuple(data.get("number") or (1, 1))  # older traces tell of none
        place = (decision, int(number[0]), int(number[-1]))
        findings = list(data.get("findings") or ())
        said: dict[str, Any] = {
            **self._attempts.get(place, {}),
            **{key: data[key] for key in _OF_THE_CALL if key in data},
            "digest": str(data.get("digest") or ""),
            "stage": kind if data.get("digest") else "reply",
            "ok": bool(data.get("ok")),
            "findings": findings,
        }
        if kind == "dry_run":
            said["losses"] = list(data.get("losses") or ())
            said["incumbent_losses"] = list(data.get("incumbent_losses") or ())
        self._attempts[place] = said

    def _outcome(
        self, place: tuple[int, int, int], attempt: Mapping[str, Any]
    ) -> Outcome:
        decision, *number = place
        digest = attempt["digest"]
        applied = attempt["ok"] and self._applied.get(decision) == digest
        lived = self.intervals.get(decision, ((), None)) if applied else ((), None)
        source = self.sources.get(digest) or self._source_of(digest) or ""
        place_of = {"try": number[0], "candidate": number[1], "source": source}
        return outcome_of(
            {**attempt, **place_of},
            decision=decision,
            step=self.steps.get(decision, 0),
            applied=applied,
            live_losses=lived[0],
            validation=lived[1],
            rolled_back=applied and decision in self._rolled_back,
        )


_OF_THE_CALL = ("parents", "model", "usage")


# Of a proposal that was not applied, or not yet.
_NO_FATE: dict[str, Any] = {"applied": False, "live_losses": ()}
_NO_FATE |= {"validation": None, "rolled_back": False}


def outcome_of(
    attempt: Mapping[str, Any], *, decision: int, step: int, **fate: Any
) -> Outcome:
    """An attempt as strategies are shown it.

    Args:
        fate: what became of it when it was live, by the names of `Outcome`.
    """
    return Outcome(
        digest=attempt["digest"],
        source=attempt["source"],
        parents=tuple(attempt.get("parents", ())),
        stage=attempt["stage"],
        ok=attempt["ok"],
        findings=tuple(attempt["findings"]),
        dry_run_losses=tuple(map(float, attempt.get("losses", ()))),
        incumbent_losses=tuple(map(float, attempt.get("incumbent_losses", ()))),
        step=step,
        cost=dict(attempt.get("usage") or {}),
        decision=decision,
        number=(attempt["try"], attempt["candidate"]),
        model=attempt.get("model") or "",
        **_NO_FATE | fate,
    )


def outcomes_in(
    attempts: Iterable[Mapping[str, Any]], *, decision: int, step: int
) -> list[Outcome]:
    """The attempts of a decision that goes on; of a proposal its last word counts."""
    last: dict[tuple[int, int], Mapping[str, Any]] = {}
    for attempt in attempts:
        place = (attempt["try"], attempt["candidate"])
        last.pop(place, None)
        last[place] = attempt
    return [outcome_of(each, decision=decision, step=step) for each in last.values()]


def _validated_at(step: int, observation: Mapping[str, Any]) -> float | None:
    pairs = observation.get("validation_losses") or ()
    last = pairs[-1] if pairs else None
    return float(last[1]) if last is not None and last[0] == step else None
