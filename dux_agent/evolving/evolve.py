"""A whole run: the search and its baselines, then validation, then one report."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dux_agent.evolving.asking import Asking, models_of
from dux_agent.evolving.journal import Journal
from dux_agent.evolving.plan import OFFLINE, ZOO, EvolvePlan
from dux_agent.evolving.search import Bench, Training, search
from dux_agent.evolving.workers import Workers
from dux_agent.run_folder.folder import RunFolder
from dux_agent.tasks.named import builder_of
from dux_graphs.evolution.crossing import cross
from dux_graphs.evolution.individual import Draft, Individual, Operator, Standing
from dux_graphs.evolution.search import Evolution
from dux_graphs.evolution.simplifying import simpler, simplify
from dux_sandbox.zoo import entries, entry

KIND = "evolve"
"""What the `run.json` of a search says beside what it was."""

SEARCH = "search"
"""The name of the search among the baselines."""

VALIDATION, REPORT = "validation", "report"

_SEEDS = {VALIDATION: 1_000, REPORT: 2_000}  # the first of each
Say = Callable[[str], None]


def evolve(
    plan: EvolvePlan,
    run_dir: str | Path,
    say: Say = lambda line: None,
    *,
    lm: Any = None,
) -> Path:
    """Search for optimizers, and write down everything in a run folder.

    Args:
        plan: what is to be done.
        run_dir: the folder to make.
        say: is told how it goes, one line each.
        lm: the language model, where it is none that `plan.model` names.

    Returns:
        The folder; `dux_agent.evolving.reading.read_search` reads it.

    Raises:
        BadArgument: there is no such task or language model; no folder is made.
        DuxError: the folder cannot be made, a task cannot be trained, or the language
            model cannot be had: the search can be gone on with.
    """
    for task in (*plan.tasks, *plan.validation, *plan.report):
        builder_of(task)
    if plan.model != OFFLINE:
        models_of(lm or plan.model, plan.seed)
    facts = {
        "kind": KIND,
        "task": ",".join(plan.tasks),
        "seed": plan.seed,
        "model": plan.model,
        "arguments": plan.facts(),
    }
    with RunFolder.create(run_dir, facts) as folder:
        return _run(plan, folder, say, lm)


def resume(
    run_dir: str | Path,
    *,
    workers: int | None = None,
    say: Say = lambda line: None,
    lm: Any = None,
) -> Path:
    """Go on with a search that was ended; nothing in its journal is done again.

    Args:
        workers: another number of processes; None: as before.
        say, lm: as of `evolve`.

    Raises:
        DuxError: it is no search, or another process goes on with it.
    """
    with RunFolder.open(run_dir) as folder:
        plan = EvolvePlan.of(folder.facts["arguments"])
        plan = replace(plan, workers=workers or plan.workers)
        return _run(plan, folder, say, lm)


def _run(plan: EvolvePlan, folder: RunFolder, say: Say, lm: Any) -> Path:
    asked: dict[str, Operator] = {}
    if plan.model != OFFLINE:
        asking = Asking(lm or plan.model, folder, plan.seed, zoo=plan.zoo)
        asked = asking.operators()
    with Workers(plan.workers, most_bytes=plan.trial_bytes) as workers:
        bench = Bench(plan, Journal(folder), workers)
        winners: dict[str, Individual] = {}
        for arm in (SEARCH, *plan.baselines):
            evolution = _evolution(arm, plan, asked)
            search(arm, evolution, bench, say)
            finalists = evolution.finalists(plan.finalists)
            best = _validated(arm, finalists, bench)
            if best is not None:
                own = arm == SEARCH
                winners[arm] = _simplified(best, bench) if own else best.individual
        for arm, winner in winners.items():
            say(f"{arm}: report on {', '.join(plan.report)}")
            for task in plan.report:
                trainings = _held_back(REPORT, [task], plan.report_seeds)
                bench.train(arm, f"{REPORT}: {task}", [(winner, trainings)])
    return folder.path


def _evolution(arm: str, plan: EvolvePlan, asked: Mapping[str, Operator]) -> Evolution:
    """The search, or the tuning of an entry of the zoo, or of all of them."""
    names = plan.start if arm == SEARCH else (arm,)
    found = [e for n in names for e in (entries() if n == ZOO else [n])]
    known = [entry(name) for name in dict.fromkeys(found)]
    first = [Draft(each.source, each.title) for each in known]
    offline: dict[str, Operator] = {"cross": cross, "simplify": simplify}
    operators = {**offline, **asked} if arm == SEARCH else {}
    return Evolution(first, operators, seed=plan.seed, islands=plan.islands)


def _simplified(one: Standing, bench: Bench) -> Individual:
    """A winner without what changes nothing on the fixed problems.

    What is left keeps the laws, and takes the same steps there.
    """
    best = one.individual
    needless: set[str] | None = None
    while needless is None or needless:
        shorter = {
            part: _without(best, part, source)
            for part, source in simpler(best.draft.source)
            if needless is None or part in needless
        }
        answers = bench.examine(SEARCH, list(shorter.values()), laws=False)
        needless = {
            part
            for part, answer in zip(shorter, answers, strict=True)
            if answer.get("fingerprint") == one.fingerprint
        }
        for part in [each for each in shorter if each in needless]:
            needless.remove(part)
            [answer] = bench.examine(SEARCH, [shorter[part]])
            if "why" not in answer:
                best = shorter[part]
                break
    return best


def _without(one: Individual, part: str, source: str) -> Individual:
    draft = Draft(source, f"{one.draft.thought} Without `{part}`, which did nothing.")
    return replace(one, draft=draft)


def _validated(
    arm: str, finalists: Sequence[Standing], bench: Bench
) -> Standing | None:
    """The finalist that is best on tasks and seeds that nobody was selected by."""
    plan = bench.plan
    trainings = _held_back(VALIDATION, plan.validation, plan.validation_seeds)
    ones = [(each.individual, trainings) for each in finalists]
    ranked = []
    came = bench.train(arm, VALIDATION, ones)
    for each, (answer, values) in zip(finalists, came, strict=True):
        if "why" not in answer:
            score = math.fsum(values) / len(values) + each.price
            ranked.append((score, each.individual.number, each))
    return min(ranked)[2] if ranked else None


def _held_back(stage: str, tasks: Sequence[str], seeds: int) -> list[Training]:
    split = "test" if stage == REPORT else "val"
    return [
        {"task": task, "seed": _SEEDS[stage] + seed, "share": 1.0, "split": split}
        for seed in range(seeds)
        for task in tasks
    ]
