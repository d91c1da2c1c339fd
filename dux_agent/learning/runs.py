"""The entries that one run with an agent gives: one for each judged proposal."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from pathlib import Path

from dux_agent.experience.entry import Entry
from dux_agent.experience.situation import Situation, change, situation_of
from dux_agent.learning.lessons import lesson_by_rules
from dux_agent.run_folder.events import body_of
from dux_agent.run_folder.trace import plain
from dux_agent.run_history.reading import read_story
from dux_agent.run_history.records import DecisionStory, ProposalTold, RunHistory
from dux_agent.run_history.summary import summary
from dux_graphs.events import ObservationEvent
from dux_graphs.offline.situation import family_of, rate_of

_MOST_PROPOSALS = 16  # of one decision


def entries_of_run(path: str | Path) -> list[Entry]:
    """What a run folder teaches, in the order of the run; nothing in it is changed.

    Raises:
        RunFolderUnusable: it is no run folder, or its trace is damaged.
    """
    run = read_story(path)
    told = json.dumps([run.facts, run.began], sort_keys=True, default=str)
    name = hashlib.sha256(told.encode()).hexdigest()
    origin = str(run.facts.get("run") or run.path.name)
    found: list[Entry] = []
    for place, decision in enumerate(run.decisions):
        seen = _seen(decision)
        if seen is None:
            continue
        then = run.decisions[place + 1 : place + 2]
        after, before = _changes(run, decision, seen, then[0] if then else None)
        situation = situation_of(seen)
        for one in decision.proposals[:_MOST_PROPOSALS]:
            entry = _entry(decision, one, situation, (after, before), name, origin)
            if entry is not None:
                found.append(lesson_by_rules(entry))
    return found


def _entry(
    decision: DecisionStory,
    one: ProposalTold,
    situation: Situation,
    changes: tuple[float | None, float | None],
    run: str,
    origin: str,
) -> Entry | None:
    """What a proposal teaches; None where nobody judged it, or it holds no source."""
    source = plain(one.source)
    if not source or one.ok is None:
        return None
    verdict, reason = "passed", ""
    if not one.ok:
        finding = one.findings[0].message if one.findings else "no reason was given"
        verdict, reason = "refused", f"{one.stage.replace('_', ' ')}: {finding}"
    elif decision.went_live and one.digest == decision.digest:
        verdict = decision.verdict
        reason = decision.reason if verdict == "rolled_back" else ""
    elif one.stage != "dry_run":
        return None  # the trace ends before its dry run
    after, before = changes
    return Entry.of(
        run=run,
        origin=origin,
        decision=decision.number,
        proposal=one.number,
        situation=situation,
        digest=one.digest,
        source=source,
        proposed=summary(source, 160),
        family=family_of(source),
        rate=rate_of(source),
        verdict=verdict,
        reason=reason,
        change=after if verdict == "applied" else None,
        before=before,
    )


def _seen(decision: DecisionStory) -> ObservationEvent | None:
    """What was observed last, without what is a secret by now; before it is cut."""
    told = [e.data for e in decision.events if isinstance(e.body, ObservationEvent)]
    seen = body_of("observation", plain(told[-1])) if told else None
    return seen if isinstance(seen, ObservationEvent) else None


def _changes(
    run: RunHistory,
    decision: DecisionStory,
    seen: ObservationEvent,
    then: DecisionStory | None,
) -> tuple[float | None, float | None]:
    """Of the loss over the interval after a decision, and over the one before it.

    By the validation losses where there are any, else by the training losses.
    """
    losses = [float(pair[1]) for pair in seen.validation_losses]
    fifths = list(seen.loss_fifths)
    row = losses if len(losses) > 1 else fifths[:1] + fifths[1:][-1:]
    before = change(row[-2], row[-1]) if len(row) > 1 else None
    now = (losses or fifths or [math.nan])[-1]
    after = next(_ends(run, decision, then, bool(losses)), math.nan)
    return change(now, after), before


def _ends(
    run: RunHistory,
    decision: DecisionStory,
    then: DecisionStory | None,
    validated: bool,
) -> Iterator[float]:
    """The loss at the end of its interval: the next observation's, or the run's."""
    if then is not None:
        seen = _seen(then)
        if seen is not None and validated and seen.validation_losses:
            yield float(seen.validation_losses[-1][1])
        elif seen is not None and not validated and seen.loss_fifths:
            yield seen.loss_fifths[-1]
        return
    epochs = [epoch for epoch in run.epochs if epoch.step > decision.decided_at]
    if validated and epochs and epochs[-1].val is not None:
        yield epochs[-1].val
    steps = [loss for step, loss in run.losses if step > decision.decided_at]
    last = steps[-max(1, len(steps) // 5) :]
    if not validated and last:
        yield math.fsum(last) / len(last)
