"""Reads a run folder into a `RunHistory`; changes nothing in it."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from dux_agent.run_folder.events import LossEvent, RollbackEvent
from dux_agent.run_folder.kept_sources import read_kept_source
from dux_agent.run_folder.run_facts import read_facts
from dux_agent.run_folder.trace import Event, iterate
from dux_agent.run_history.proposals import proposals_of
from dux_agent.run_history.records import (
    DecisionStory,
    EpochLosses,
    RunHistory,
    Stage,
    WentBackTold,
)
from dux_graphs.events import (
    ApplyEvent,
    CarriedOver,
    ErrorEvent,
    EventBody,
    ObservationEvent,
    PromptEvent,
    ReplyEvent,
)
from dux_sandbox.findings import digest_of

log = logging.getLogger(__name__)

SourceOf = Callable[[str], str | None]
"""Digest -> the source kept under it, or None."""

_ENDED_BY = "TrainingDiverged"
_Rule = tuple[str, str | None]
_Body = TypeVar("_Body", bound=EventBody)

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
    ended_by, strange = "", False
    began = ended = agent_began = 0.0
    total = 0
    for event in events:
        began = min(began, event.time) if total else event.time
        ended = max(ended, event.time)
        total += 1
        body = event.body
        if isinstance(body, LossEvent) and body.scope == "control":
            _keep_epoch(control, event.step, body)
            continue
        agent_began = agent_began or event.time
        if event.decision is not None:
            told.setdefault(event.decision, []).append(event)
        elif isinstance(body, RollbackEvent):
            went_back[event.step] = _went_back(event.step, body)
        elif isinstance(body, ErrorEvent) and body.error == _ENDED_BY:
            ended_by = body.message
        elif isinstance(body, LossEvent) and body.scope == "epoch":
            _keep_epoch(epochs, event.step, body)
        elif isinstance(body, LossEvent):
            if body.loss is not None and event.step >= 0:
                losses[event.step] = body.loss
        elif body is None and not strange:
            strange = True
            log.warning("an event in %s is passed over: %s", path, event.fault)
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


def _went_back(step: int, body: RollbackEvent) -> WentBackTold:
    return WentBackTold(max(step, 0), body.reason, body.steps, body.factor)


def _keep_epoch(epochs: dict[int, EpochLosses], step: int, means: LossEvent) -> None:
    if means.epoch is None:
        return
    epochs[means.epoch] = EpochLosses(
        number=means.epoch,
        step=max(step, 0),
        train=means.loss,
        val=means.val,
        test=means.test,
        seconds=means.seconds,
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
    began, over = events[0], _last(events, ApplyEvent)
    back = [event for event in events if isinstance(event.body, RollbackEvent)]
    went_back = _last(back, RollbackEvent)
    ended = next((each for each in reversed(events) if each.body is over), began)
    verdict, reason = _end_of(events, over, went_back)
    apply = over or ApplyEvent(digest=went_back.digest if went_back else None)
    carry = apply.carry or CarriedOver()
    observed = _last(events, ObservationEvent)
    own = [event for event in events if event.kind != "rollback"] or events
    incumbent_digest, incumbent = _incumbent(observed, live)
    return DecisionStory(
        number=place,
        step=max(began.step, 0),
        decided_at=max(ended.step, began.step, 0),
        verdict=verdict,
        reason=reason,
        digest=apply.digest or "",
        source=source_of(apply.digest or ""),
        incumbent=incumbent,
        incumbent_digest=incumbent_digest,
        loss=None if observed is None else _observed_loss(observed),
        base={} if observed is None else observed.base_optimizer,
        prompts=tuple(
            tuple((message.role, message.content) for message in body.messages)
            for body in _bodies(events, PromptEvent)
        ),
        proposals=proposals_of(events, source_of),
        troubles=tuple(_bodies(events, ErrorEvent)),
        usage=apply.usage or _added(_bodies(events, ReplyEvent)),
        seconds=apply.seconds,
        began=own[0].time,
        ended=own[-1].time,
        carried=carry.carried,
        dropped=carry.dropped,
        rates_before=apply.learning_rates_before,
        rates=apply.learning_rates,
        by_itself=apply.by_itself,
        rolled_back_at=max(back[-1].step, 0) if back else None,
        stages=_stages(own),
        events=tuple(events),
    )


def _end_of(
    events: Sequence[Event], apply: ApplyEvent | None, went_back: RollbackEvent | None
) -> tuple[str, str]:
    """The verdict that counts, and why."""
    verdict = "" if apply is None else apply.verdict
    if went_back is not None and verdict in ("applied", ""):
        return "rolled_back", went_back.reason
    if apply is None or not verdict:
        return "unfinished", f"the last event is {events[-1].kind}"
    return verdict, apply.reason


def _bodies(events: Iterable[Event], kind: type[_Body]) -> list[_Body]:
    return [event.body for event in events if isinstance(event.body, kind)]


def _last(events: Iterable[Event], kind: type[_Body]) -> _Body | None:
    found = _bodies(events, kind)
    return found[-1] if found else None


def _incumbent(observed: ObservationEvent | None, live: _Rule) -> _Rule:
    """What the model was told is what was live; a torn trace may lack it."""
    if observed is None or observed.source in ("", live[1]):
        return live
    source = observed.source
    return (digest_of(source), source) if source else ("", None)


def _observed_loss(observed: ObservationEvent) -> float | None:
    """The last of validation, else that of the newest fifth of the interval."""
    if observed.validation_losses:
        return observed.validation_losses[-1][1]
    return observed.loss_fifths[-1] if observed.loss_fifths else None


def _added(replies: Iterable[ReplyEvent]) -> dict[str, float]:
    """The calls of a decision that has no verdict, together."""
    total: dict[str, float] = {}
    for reply in replies:
        for name, used in reply.usage.items():
            total[name] = total.get(name, 0) + used
    return total


def _stages(events: list[Event]) -> tuple[Stage, ...]:
    spent: dict[str, float] = {}
    before = events[0].time
    for event in events[1:]:
        name = _SPENT_ON.get(event.kind)
        if name is not None:
            spent[name] = spent.get(name, 0.0) + max(0.0, event.time - before)
        before = event.time
    return tuple(Stage(name, seconds) for name, seconds in spent.items())
