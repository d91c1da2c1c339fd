"""`dux bench tune`: methods of tuning over a suite of tasks, by the paper's measures.

Random search is not one run but its exact expectation over a pool of random
configurations, and no method's row stands without it and without random search from
the default settings.
"""

from __future__ import annotations

import json
import math
import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from dux_agent.errors import BadArgument
from dux_agent.tuning.plan import SAMPLERS
from dux_agent.tuning.study import best_of
from dux_agent.tuning.tune import tune
from dux_agent.tuning_tasks.classification import SUITES
from dux_agent.tuning_tasks.measures import RANDOM, Errors, compared, expected_best
from dux_agent.tuning_tasks.named import build
from dux_agent.tuning_tasks.tables import TABLES
from dux_agent.tuning_tasks.toys import TOYS
from dux_prompts.tuning.space import Config, Space

Say = Callable[[str], None]

ALL_SUITES: dict[str, tuple[str, ...]] = {
    **SUITES,
    "toys": tuple(f"toy:{name}" for name in TOYS),
    "tables": tuple(f"table:{name}" for name in TABLES),
}
DEFAULTS, SEEDED = "defaults", "defaults + random"


@dataclass(frozen=True)
class Comparison:
    """What a benchmark of studies found.

    Attributes:
        suite, seeds, pool, budgets: as they were asked for.
        errors: budget -> method -> task -> one pair of validation and test error for
            each seed; test is None where a task has none.
        measures: budget -> "validation" or "test" -> method -> measure -> mean over
            seeds and half of its 95 % interval.
    """

    suite: str
    seeds: tuple[int, ...]
    pool: int
    budgets: tuple[int, ...]
    errors: dict[str, dict[str, dict[str, list[Any]]]] = field(repr=False)
    measures: dict[str, Any] = field(repr=False)

    def as_json(self) -> str:
        """Everything, as a file keeps it."""
        return json.dumps(asdict(self), indent=1) + "\n"


class _Cached:
    """An objective that evaluates a configuration once, whoever proposes it."""

    def __init__(self, name: str, known: dict[str, Errors]) -> None:
        task = build(name)
        self._objective: Callable[[Config], Any] = task
        self.space, self.task = Space(task.space), task.task
        self.defaults = tuple(dict(each) for each in task.defaults)
        self._known = known

    def errors(self, config: Config) -> Errors:
        """Validation error, and test error or, where there is none, NaN."""
        key = json.dumps(config, sort_keys=True)
        if key not in self._known:
            answer = self._objective(config)
            if isinstance(answer, dict):
                found = (answer["value"], answer["report"]["test_error"])
            else:
                found = (answer, math.nan)
            self._known[key] = found
        return self._known[key]

    def __call__(self, config: Config) -> dict[str, Any]:
        value, test = self.errors(config)
        return {"value": value, "report": test}


def compare(
    suite: str,
    methods: Sequence[str],
    *,
    budgets: Sequence[int] = (10, 30),
    seeds: Sequence[int] = (0,),
    pool: int = 200,
    say: Say = lambda line: None,
) -> Comparison:
    """Run methods over a suite.

    Args:
        suite: a name in `ALL_SUITES`, or the names of tasks with commas between.
        methods: "offline", "tpe", "gp", "cmaes", the name of a language model, or one
            of these and an optimizer that goes on from a third of the budget:
            "offline>gp", or has a share of its proposals overridden: "offline%gp".
        budgets: evaluations; a search is run once, to the largest, but one with ">"
            for each.
        seeds: of the methods; the written rule has none and is run once.
        pool: random configurations a task.
        say: is told of each task as it is done.

    Raises:
        BadArgument: a name means nothing, or the pool is smaller than a budget.
        DataMissing: a task's data cannot be found.
    """
    names = ALL_SUITES.get(suite) or tuple(suite.split(","))
    if pool < max(budgets):
        raise BadArgument(
            f"pool is {pool} and a budget is {max(budgets)}; a pool of at least that "
            f"was wanted; pass --pool {max(budgets)}."
        )
    errors: dict[str, dict[str, dict[str, list[Any]]]] = {}
    for name in names:
        for budget, method, found in _of_task(name, methods, budgets, seeds, pool):
            errors.setdefault(str(budget), {}).setdefault(method, {})[name] = found
        say(name)
    measures = {budget: _measures(held) for budget, held in errors.items()}
    return Comparison(suite, tuple(seeds), pool, tuple(budgets), errors, measures)


def _of_task(
    name: str,
    methods: Sequence[str],
    budgets: Sequence[int],
    seeds: Sequence[int],
    pool: int,
) -> list[tuple[int, str, list[Errors]]]:
    task = _Cached(name, {})
    rng = random.Random(f"pool:{name}")
    drawn = [task.errors(task.space.draw(rng)) for _ in range(pool)]
    defaults = [task.errors(task.space.typed(each)) for each in task.defaults]
    found = []
    for budget in budgets:
        found.append((budget, RANDOM, [expected_best(drawn, budget)]))
        if defaults:
            found.append((budget, DEFAULTS, [min(defaults)]))
            left = max(1, budget - len(defaults))
            seeded = expected_best(drawn, left, defaults)
            found.append((budget, SEEDED, [seeded]))
    for method in methods:
        model = method.partition(">")[0].partition("%")[0]
        several = (0,) if method == "offline" else seeds
        together = ">" not in method
        runs = {
            (seed, budget): _searched(task, method, model, budget, seed)
            for seed in several
            for budget in ([max(budgets)] if together else budgets)
        }
        for budget in budgets:
            whole = max(budgets) if together else budget
            ended = [runs[seed, whole][budget - 1] for seed in several]
            found.append((budget, method, ended))
    return found


def _searched(
    task: _Cached, method: str, model: str, budget: int, seed: int
) -> list[Errors]:
    """The errors of the best so far after each evaluation."""
    options: dict[str, Any] = {"lm": None if model in SAMPLERS else model}
    if model in SAMPLERS:
        options["then"] = model
    elif ">" in method:
        options["then"] = method.partition(">")[2]
    elif "%" in method:
        options |= {"then": method.partition("%")[2], "lm_share": 0.3}
    study = tune(task, budget=budget, task=task.task, seed=seed, **options)
    if not study.complete:
        raise BadArgument(f"{method} could not be asked: {study.reason}")
    ended = []
    for count in range(1, budget + 1):
        best = best_of(study.trials[:count], False)
        held = (math.inf, math.inf)
        ended.append(held if best is None else (float(best.value or 0.0), best.report))
    return ended


def _measures(held: Mapping[str, Mapping[str, list[Errors]]]) -> dict[str, Any]:
    told = {}
    for place, which in enumerate(("validation", "test")):
        base = {task: found[0][place] for task, found in held[RANDOM].items()}
        if not all(map(math.isfinite, base.values())):
            continue
        methods = {name: found for name, found in held.items() if name != RANDOM}
        means = {
            name: {t: statistics.fmean(e[place] for e in each) for t, each in m.items()}
            for name, m in methods.items()
        }
        rows = compared(means, base)
        told[which] = {
            name: {
                m: (value, _half(name, m, held, base, place)) for m, value in r.items()
            }
            for name, r in rows.items()
        }
    return told


def _half(
    name: str,
    measure: str,
    held: Mapping[str, Mapping[str, list[Errors]]],
    base: Mapping[str, float],
    place: int,
) -> float:
    """Half of the 95 % interval of a measure over seeds; NaN where there is one."""
    count = min(len(found) for found in held[name].values())
    if count < 2 or measure == "mean_rank":
        return math.nan
    each = [
        compared({"it": {t: f[seed][place] for t, f in held[name].items()}}, base)["it"]
        for seed in range(count)
    ]
    spread = statistics.stdev(one[measure] for one in each)
    return _STUDENT.get(count - 1, 1.96) * spread / math.sqrt(count)


_STUDENT = {1: 12.71, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 9: 2.262}
"""Of so many degrees of freedom, 95 %."""


def as_text(found: Comparison) -> str:
    """The tables as Markdown."""
    lines = [
        f"suite {found.suite}; pool of {found.pool} random configurations a task, "
        f"drawn by its name; seeds {', '.join(map(str, found.seeds))}; means over "
        f"seeds are compared, ± is half the 95 % interval of single seeds.",
    ]
    for budget, told in found.measures.items():
        for which, rows in told.items():
            lines += ["", f"{budget} evaluations, {which} error, against random search"]
            head = ("beats random %", "median change %", "mean change %", "mean rank")
            lines += ["", f"| method | {' | '.join((*head, 'mean error'))} |"]
            lines.append("|---|---|---|---|---|---|")
            ranked = sorted(rows.items(), key=lambda row: row[1]["mean_rank"][0])
            for name, row in ranked:
                cells = [_cell(digits, *row[m]) for m, digits in _COLUMNS.items()]
                lines.append(f"| {_called(name)} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


_COLUMNS = {
    "beats_random": 1,
    "median_change": 1,
    "mean_change": 1,
    "mean_rank": 2,
    "mean_error": 4,
}
"""Measure -> digits behind the point."""


def _cell(digits: int, value: float, half: float) -> str:
    spread = "" if math.isnan(half) else f" ± {half:.{digits}f}"
    return f"{value:.{digits}f}{spread}"


def _called(name: str) -> str:
    return name.replace("offline", "offline rule")
