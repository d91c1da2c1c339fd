"""The entries that a search gives: what its optimizers reached, task by task."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from dux_agent.evolving.journal import PARTS
from dux_agent.evolving.plan import EvolvePlan
from dux_agent.evolving.reading import Row, SearchTold, read_in_words, read_search
from dux_agent.evolving.situations import beginning_of
from dux_agent.experience.entry import Entry
from dux_agent.experience.situation import Situation, finite
from dux_agent.learning.lessons import lesson_by_rules
from dux_agent.run_folder.kept_sources import read_kept_source
from dux_agent.run_folder.run_facts import read_facts
from dux_agent.run_folder.trace import plain
from dux_agent.run_history.summary import summary
from dux_agent.tasks.family.members import is_member
from dux_graphs.evolution.racing import rung
from dux_graphs.offline.situation import family_of, rate_of

_BEST, _STOPPED = 8, 8  # of a search, that are entries
_RUNGS = 12


def entries_of_search(path: str | Path) -> list[Entry]:
    """What a search teaches: its best optimizers on each task, and what stopped others.

    Raises:
        RunFolderUnusable: it is no search, or its trace is damaged.
    """
    path = Path(path)
    facts = read_facts(path)
    name = _identity(facts)
    origin = str(facts.get("run") or path.name)
    with read_in_words(path):
        told = read_search(path)
        parts = [*_trained(told), *_stopped(told)]
    found = []
    # Its place among all that were met, which more of them do not change.
    numbers = {digest: at for at, digest in enumerate(_digests(told), start=1)}
    for row, situation, more in parts:
        source = plain(read_kept_source(path, row.digest))
        if source:
            said = {"run": name, "origin": origin, "decision": numbers[row.digest]}
            said |= {"digest": row.digest, "source": source}
            said |= {"family": family_of(source), "rate": rate_of(source)}
            idea = plain(row.thought) or summary(source, 160)
            made = Entry.of(**said, **more, situation=situation, proposed=idea)
            found.append(lesson_by_rules(made))
    return found


def _identity(facts: Mapping[str, Any]) -> str:
    """Of a search: one that goes on with a higher budget is the same."""
    arguments = facts.get("arguments")
    if isinstance(arguments, Mapping):
        arguments = {k: v for k, v in arguments.items() if k != "budget"}
    told = json.dumps({**facts, "arguments": arguments}, sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()


def _digests(told: SearchTold) -> Iterable[str]:
    """Of every source, once each, in the order in which they were met."""
    return dict.fromkeys(row.digest for row in told.rows)


_Part = tuple[Row, Situation, dict[str, Any]]


def _trained(told: SearchTold) -> Iterator[_Part]:
    """The best of those that were trained whole, on each task; ties by their digest."""
    ranked: dict[str, tuple[float, str, Row, dict[str, list[float]]]] = {}
    most: Counter[str] = Counter()
    for row in told.rows:
        by_task = _by_task(row, told.plan)
        values = [value for each in by_task.values() for value in each]
        # Several arms may have trained it, each on its number of seeds.
        if len(values) > most[row.digest] and not row.why:
            most[row.digest] = len(values)
            mean = math.fsum(values) / len(values)
            ranked[row.digest] = mean, row.digest, row, by_task
    best = sorted(ranked.values(), key=lambda each: each[:2])[:_BEST]
    for _, _, row, by_task in best:
        for task, values in by_task.items():
            change = math.expm1(math.fsum(values) / len(values))
            more = {"verdict": "trained", "change": finite(change)}
            more |= {"proposal": 1 + told.plan.tasks.index(task)}
            yield row, _beginning(task), more


def _stopped(told: SearchTold) -> Iterator[_Part]:
    """The first that each stage stopped for each reason; without a winner's parts."""
    seen: set[tuple[str, str]] = set()
    after = 1 + len(told.plan.tasks)
    for row in told.rows:
        reason = (row.stage, row.why[:60])
        if not row.why or PARTS in row.answers:
            continue
        if reason not in seen and len(seen) < _STOPPED:
            seen.add(reason)
            why = f"{row.stage}: {row.why}"
            more = {"verdict": "refused", "reason": why, "proposal": after}
            yield row, Situation(stage=0.0), more


def _by_task(row: Row, plan: EvolvePlan) -> dict[str, list[float]]:
    """By task, what whole trainings of it gave beside AdamW, as logarithms."""
    found: dict[str, list[float]] = {}
    for name in {rung(place).name for place in range(1, _RUNGS)}:
        for place, value in enumerate(row.values.get(name, ())):
            if math.isfinite(value) and plan.tasks:
                found.setdefault(plan.tasks[place % len(plan.tasks)], []).append(value)
    return found


def _beginning(task: str) -> Situation:
    # A task of anybody's is not imported on the word of a folder.
    return beginning_of(task) if is_member(task) else Situation(stage=0.0)
