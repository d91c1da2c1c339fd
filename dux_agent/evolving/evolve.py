"""A whole run: the search and its baselines, then validation, then one report."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from dux_agent.engines.processes import processes
from dux_agent.engines.workers import Say, Workers, silent
from dux_agent.errors import BadArgument, RunFolderUnusable
from dux_agent.evolving.asking import asked_operators, models_of
from dux_agent.evolving.expecting import cost_lines, expected_seconds
from dux_agent.evolving.journal import Journal
from dux_agent.evolving.plan import ZOO, EvolvePlan
from dux_agent.evolving.search import Bench, Training, search
from dux_agent.evolving.situations import beginning_of
from dux_agent.evolving.vouching import trusted, vouch
from dux_agent.experience.recalling import Experience
from dux_agent.formatting import plural, seconds_text
from dux_agent.run_folder.atomic import write_atomically
from dux_agent.run_folder.folder import RunFolder
from dux_agent.run_folder.run_facts import read_facts
from dux_agent.run_folder.trace import plain
from dux_agent.tasks.named import builder_of
from dux_graphs.evolution.crossing import cross
from dux_graphs.evolution.individual import Draft, Individual, Operator, Standing
from dux_graphs.evolution.search import Evolution
from dux_graphs.evolution.simplifying import ablated, simpler, simplify
from dux_sandbox.zoo import entries, entry

KIND = "evolve"
"""What the `run.json` of a search says beside what it was."""

SEARCH = "search"
"""The name of the search among the baselines."""

VALIDATION, REPORT = "validation", "report"

_THREADS = 8  # arms, or reports, that wait for workers at a time
_SEEDS = {VALIDATION: 1_000, REPORT: 2_000}  # the first of each
Engine = Callable[..., Workers]
"""Makes the workers of a search, as `dux_agent.engines.processes.processes` does."""


def evolve(
    plan: EvolvePlan,
    run_dir: str | Path,
    say: Say = silent,
    *,
    lm: Any = None,
    engine: Engine = processes,
) -> Path:
    """Search for optimizers, and write down everything in a run folder.

    Args:
        plan: what is to be done.
        run_dir: the folder to make.
        say: is told what it will come to and how it goes, one line each.
        lm: the language model, where it is none that `plan.model` names; of several
            names as many.
        engine: makes the workers; processes of this machine at first.

    Returns:
        The folder; `dux_agent.evolving.reading.read_search` reads it.

    Raises:
        BadArgument: there is no such task or language model; no folder is made.
        LibraryUnusable: the library of experience cannot be read; the same.
        DuxError: the folder cannot be made, a task cannot be trained, or the language
            model cannot be had: the search can be gone on with.
    """
    for task in (*plan.tasks, *plan.validation, *plan.report):
        builder_of(task)
    models_of(plan, lm)
    facts = {
        "kind": KIND,
        "task": ",".join(plan.tasks),
        "seed": plan.seed,
        "model": ",".join(plan.models),
        "arguments": plan.facts(),
    }
    if plan.experience is not None:
        # What is shown is chosen once: a search that goes on asks as it did.
        library = Experience.of(plan.experience)
        places = {beginning_of(task) for task in plan.tasks}
        facts["experience"] = library.recalled(*places)
    with RunFolder.create(run_dir, facts) as folder:
        vouch(plan, folder.path)
        say(f"run folder: {folder.path}; what is ended goes on with --resume")
        for line in cost_lines(plan):
            say(line)
        return _run(plan, folder, say, lm, engine)


def resume(
    run_dir: str | Path,
    *,
    workers: int | None = None,
    budget: int | None = None,
    say: Say = silent,
    lm: Any = None,
    engine: Engine = processes,
) -> Path:
    """Go on with a search that was ended; nothing in its journal is done again.

    Args:
        workers: another number of processes; None: as before.
        budget: more evaluations than before; None: as many.
        say, lm, engine: as of `evolve`.

    Raises:
        BadArgument: the budget is lower than before, there is no worker, or a task
            would be imported that was never named on this machine; nothing is changed.
        DuxError: it is no search, or another process goes on with it.
    """
    require_search(run_dir)  # to open a folder is to mend it
    with RunFolder.open(run_dir) as folder:
        return _run(_plan_of(folder, workers, budget), folder, say, lm, engine)


def is_search(path: str | Path) -> bool:
    """Whether a run folder is a search's. Raises RunFolderUnusable: it is none."""
    return bool(read_facts(path).get("kind") == KIND)


def require_search(path: str | Path) -> None:
    """Raise RunFolderUnusable where this is no search's folder."""
    if not is_search(path):
        raise RunFolderUnusable(
            f"{path} is no run folder of a search; one that `dux evolve` printed was "
            f"wanted; name it."
        )


def _plan_of(folder: RunFolder, workers: int | None, budget: int | None) -> EvolvePlan:
    """What a folder is to come to, and from now on with so many evaluations."""
    facts = folder.facts
    before = trusted(EvolvePlan.of(facts["arguments"]), folder.path)
    plan = before if workers is None else replace(before, workers=workers)
    if budget is None or budget == before.budget:
        return plan
    if budget < before.budget:
        raise BadArgument(
            f"budget is {budget} and the search has {before.budget}; more were wanted, "
            f"since what was found is not forgotten; raise it, or leave it out."
        )
    facts["arguments"] = replace(before, budget=budget).facts()
    text = json.dumps(plain(facts), indent=2, allow_nan=False) + "\n"
    write_atomically(folder.path / "run.json", text.encode("ascii"))
    return replace(plan, budget=budget)


def _run(
    plan: EvolvePlan, folder: RunFolder, say: Say, lm: Any, engine: Engine
) -> Path:
    asked = asked_operators(plan, lm, folder)
    # The workers go first: whoever waits for them on a thread is told so.
    with (
        ThreadPoolExecutor(_THREADS) as threads,
        engine(plan.workers, most_bytes=plan.trial_bytes, say=say) as workers,
    ):
        bench = Bench(plan, Journal(folder), workers)
        once = (
            _held_back(stage, tasks, 1)
            for stage, tasks in ((VALIDATION, plan.validation), (REPORT, plan.report))
        )
        with bench.turn:
            seconds = expected_seconds(bench, *once)
        if not folder.opened:
            say(
                f"about {seconds_text(seconds)} with "
                f"{plural(plan.workers, 'worker')}, replies apart: by what AdamW took "
                f"on each task just now"
            )
        # The arms know nothing of each other, and each keeps busy who waits for others.
        evolutions = [_evolution(arm, plan, {}) for arm in plan.baselines]
        own = _evolution(SEARCH, plan, asked)
        others = [
            threads.submit(_winner, arm, evolution, bench, say)
            for arm, evolution in zip(plan.baselines, evolutions, strict=True)
        ]
        # This one asks the language model, here where Ctrl-C is heard.
        found = [_winner(SEARCH, own, bench, say)]
        found += [each.result() for each in others]
        say(f"report on {', '.join(plan.report)}")
        reports = [
            threads.submit(_report, arm, winner, task, bench)
            for arm, winner in zip((SEARCH, *plan.baselines), found, strict=True)
            if winner is not None
            for task in plan.report
        ]
        for each in reports:
            each.result()
    return folder.path


def _winner(
    arm: str, evolution: Evolution, bench: Bench, say: Say
) -> Individual | None:
    """The best of a search, or of a baseline; None where nothing can be validated."""
    with bench.turn:
        search(arm, evolution, bench, say)
        best = _validated(arm, evolution.finalists(bench.plan.finalists), bench)
        if best is None:
            return None
        return _simplified(best, bench) if arm == SEARCH else best.individual


def _report(arm: str, winner: Individual, task: str, bench: Bench) -> None:
    trainings = _held_back(REPORT, [task], bench.plan.report_seeds)
    with bench.turn:
        bench.train(arm, f"{REPORT}: {task}", [(winner, trainings)])


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

    What is left keeps the laws, and takes the same steps there. What each part of it is
    for is found out too, for the report.
    """
    best = one.individual
    needless: set[str] | None = None
    while needless is None or needless:
        parts: dict[str, str] = {}
        for part, source in simpler(best.draft.source):
            if needless is None or part in needless:
                parts.setdefault(source, part)
        shorter = {part: _without(best, part, each) for each, part in parts.items()}
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
    # What each part is for, and each option: what was tried above is known.
    rest = [_without(best, *each) for each in ablated(best.draft.source)]
    bench.examine(SEARCH, rest, laws=False)
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
