"""Reads a run folder into a `RunHistory`; changes nothing in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from dux_agent.run_folder.kept_sources import read_kept_source
from dux_agent.run_folder.run_facts import read_facts
from dux_agent.run_folder.trace import Event, iterate
from dux_agent.run_history.proposals import proposals_of
from dux_agent.run_history.records import (
    DecisionStory,
    EpochLosses,
    RunHistory,
    Stage,
    Trouble,
    WentBackTold,
)
from dux_agent.run_history.values import count, items, mapping, number, numbers, text
from dux_sandbox.findings import digest_of

SourceOf = Callable[[str], str | None]
"""Digest -> the source kept under it, or None."""

_ENDED_BY = "TrainingDiverged"
_Rule = tuple[str, str | None]

# What the time until an event of this kind was spent on.
_SPENT_ON = {
    "observation": "observe",
    "prompt": "prepare",
    "reply": "model",
    "static_check": "static check",
    "dry_run": "dry run",
    "apply": "apply",
    "error": "trouble",
}


def read_story(path: str | Path) -> RunHistory:
    """What a run folder tells, also of a run that goes on or was torn.

    Raises:
        RunFolderUnusable: it is no run folder, or its trace is damaged.
    """
    path = Path(path)
    facts = read_facts(path)
    return story_of(
        path, facts, iterate(path), lambda digest: read_kept_source(path, digest)
    )


def story_of(
    path: Path, facts: Mapping[str, Any], events: Iterable[Event], source_of: SourceOf
) -> RunHistory:
    """The same from its parts.

    Where a run was resumed, what was written last of a step, an epoch or a decision
    counts.
    """
    losses: dict[int, float] = {}
    epochs: dict[int, EpochLosses] = {}
    control: dict[int, EpochLosses] = {}
    told: dict[int, list[Event]] = {}
    went_back: dict[int, WentBackTold] = {}
    ended_by = ""
    began = ended = agent_began = 0.0
    total = 0
    for event in events:
        began = min(began, event.time) if total else event.time
        ended = max(ended, event.time)
        total += 1
        scope = event.data.get("scope") if event.kind == "loss" else None
        if scope == "control":
            _keep_epoch(control, event)
            continue
        agent_began = agent_began or event.time
        if type(event.decision) is int:
            told.setdefault(event.decision, []).append(event)
        elif event.kind == "rollback":
            went_back[event.step] = _went_back(event)
        elif event.kind == "error" and event.data.get("error") == _ENDED_BY:
            ended_by = text(event.data.get("message"))
        elif scope == "epoch":
            _keep_epoch(epochs, event)
        elif event.kind == "loss":
            loss = number(event.data.get("loss"))
            if loss is not None and event.step >= 0:
                losses[event.step] = loss
    decisions = _decisions(told, source_of)
    return RunHistory(
        path=path,
        facts=facts,
        losses=tuple(sorted(losses.items())),
        epochs=tuple(epochs[key] for key in sorted(epochs)),
        control=tuple(control[key] for key in sorted(control)),
        decisions=decisions,
        events=total,
        began=began,
        ended=ended,
        agent_began=agent_began,
        went_back=tuple(went_back[step] for step in sorted(went_back)),
        ended_by=ended_by,
    )


def _went_back(event: Event) -> WentBackTold:
    data = event.data
    return WentBackTold(
        step=max(event.step, 0),
        reason=text(data.get("reason")),
        undone=count(data.get("steps")),
        factor=number(data.get("factor")),
    )


def _keep_epoch(held: dict[int, EpochLosses], event: Event) -> None:
    data = event.data
    place = count(data.get("epoch"))
    if place is None:
        return
    held[place] = EpochLosses(
        number=place,
        step=max(event.step, 0),
        train=number(data.get("loss")),
        val=number(data.get("val")),
        test=number(data.get("test")),
        seconds=number(data.get("seconds")),
    )


def _decisions(
    told: Mapping[int, list[Event]], source_of: SourceOf
) -> tuple[DecisionStory, ...]:
    """In order; the incumbent of each is what was live before it."""
    decisions: list[DecisionStory] = []
    # Digest and source of what is live, and of what is live again after a rollback.
    live: _Rule = ("", None)
    ends: list[tuple[int, _Rule]] = []
    for place in sorted(told):
        events = told[place]
        step = max(events[0].step, 0)
        for at, back in [end for end in ends if end[0] <= step]:
            live = back
            ends.remove((at, back))
        decision = _decision(place, events, live, source_of)
        if decision.went_live:
            if decision.rolled_back_at is not None:
                ends.append((decision.rolled_back_at, live))
            live = (decision.digest, decision.source)
        decisions.append(decision)
    return tuple(decisions)


def _decision(
    place: int, events: list[Event], live: _Rule, source_of: SourceOf
) -> DecisionStory:
    ended = next((each for each in reversed(events) if each.kind == "apply"), events[0])
    data = _last(events, "apply")
    back = [event for event in events if event.kind == "rollback"]
    observed = _last(events, "observation")
    verdict = text(data.get("verdict")) or "unfinished"
    reason = text(data.get("reason"))
    if back and verdict in ("applied", "unfinished"):
        verdict, reason = "rolled_back", text(back[-1].data.get("reason"))
    elif verdict == "unfinished":
        reason = f"the last event is {events[-1].kind}"
    digest = text((data or (back[-1].data if back else {})).get("digest"))
    carry = mapping(data.get("carry"))
    replies = [event.data.get("usage") for event in events if event.kind == "reply"]
    usage = _counts(data.get("usage")) or _added(map(_counts, replies))
    own = [event for event in events if event.kind != "rollback"] or events
    incumbent_digest, incumbent = _incumbent(observed, live)
    return DecisionStory(
        number=place,
        step=max(events[0].step, 0),
        decided_at=max(ended.step, events[0].step, 0),
        verdict=verdict,
        reason=reason,
        digest=digest,
        source=source_of(digest),
        incumbent=incumbent,
        incumbent_digest=incumbent_digest,
        loss=_observed_loss(observed),
        base=mapping(observed.get("base_optimizer")),
        prompts=tuple(_messages(event) for event in events if event.kind == "prompt"),
        proposals=proposals_of(events, source_of),
        troubles=tuple(
            Trouble(text(each.data.get("error")), text(each.data.get("message")))
            for each in events
            if each.kind == "error"
        ),
        usage=usage,
        seconds=number(data.get("seconds")),
        began=own[0].time,
        ended=own[-1].time,
        carried=_counts(carry.get("carried")),
        dropped=_counts(carry.get("dropped")),
        rates_before=tuple(numbers(data.get("learning_rates_before"))),
        rates=tuple(numbers(data.get("learning_rates"))),
        rolled_back_at=max(back[-1].step, 0) if back else None,
        stages=_stages(own),
        events=tuple(events),
    )


def _incumbent(observed: Mapping[str, Any], live: _Rule) -> _Rule:
    """What the model was told is what was live; a torn trace may lack it."""
    source = text(observed.get("source"))
    if "source" not in observed or source == live[1]:
        return live
    return (digest_of(source), source) if source else ("", None)


def _observed_loss(observed: Mapping[str, Any]) -> float | None:
    """The last of validation, else that of the newest fifth of the interval."""
    validated = [items(pair)[-1:] for pair in items(observed.get("validation_losses"))]
    shown = validated[-1] if validated else items(observed.get("loss_fifths"))
    return number(shown[-1]) if shown else None


def _last(events: Iterable[Event], kind: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for event in events:
        if event.kind == kind:
            found = event.data
    return found


def _counts(value: Any) -> dict[str, int]:
    held = {str(key): count(found) for key, found in mapping(value).items()}
    return {key: found for key, found in held.items() if found is not None}


def _added(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The calls of a decision that has no verdict, together."""
    total: Counter[str] = Counter()
    for held in counts:
        total.update(held)
    return dict(total)


def _messages(event: Event) -> tuple[tuple[str, str], ...]:
    pairs = []
    for message in items(event.data.get("messages")):
        held = mapping(message)
        pairs.append((text(held.get("role")) or "?", text(held.get("content"))))
    return tuple(pairs)


def _stages(events: list[Event]) -> tuple[Stage, ...]:
    spent: dict[str, float] = {}
    before = events[0].time
    for event in events[1:]:
        name = _SPENT_ON.get(event.kind)
        if name is not None:
            spent[name] = spent.get(name, 0.0) + max(0.0, event.time - before)
        before = event.time
    return tuple(Stage(name, seconds) for name, seconds in spent.items())
