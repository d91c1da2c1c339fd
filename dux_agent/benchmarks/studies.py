"""`dux bench tune`: methods of tuning over a suite of tasks, by the paper's measures.

Random search is not one run but its exact expectation over a pool of random
configurations, and no method's row stands without it and without random search from
the default settings.
"""

import json
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dux_agent.benchmarks.code_digest import versions
from dux_agent.benchmarks.evaluations import CODE_SUITE, Evaluations
from dux_agent.benchmarks.kept_rows import KeptRows
from dux_agent.benchmarks.methods import Ended, Method, methods_of, searched
from dux_agent.benchmarks.study_measures import (
    DEFAULTS,
    SEEDED,
    Found,
    course_of,
    measures_of,
)
from dux_agent.errors import BadArgument
from dux_agent.run_folder.trace import plain
from dux_agent.tuning_tasks.classification import SUITES
from dux_agent.tuning_tasks.measures import RANDOM, Errors, expected_best
from dux_agent.tuning_tasks.tables import TABLES
from dux_agent.tuning_tasks.toys import TOYS

Say = Callable[[str], None]

ALL_SUITES: dict[str, tuple[str, ...]] = {
    **SUITES,
    "toys": tuple(f"toy:{name}" for name in TOYS),
    "tables": tuple(f"table:{name}" for name in TABLES),
    "code": CODE_SUITE,
}
_LONG, _POOL, _LONG_POOL = 30, 200, 500


@dataclass(frozen=True)
class Comparison:
    """What a benchmark of studies found.

    Attributes:
        suite, seeds, budgets: as they were asked for.
        methods: names of those that were run.
        pools: budget -> random configurations a task.
        errors: budget -> method -> task -> one pair of validation and test error for
            each seed; test is NaN where a task has none.
        measures: budget -> "validation" or "test" -> method -> measure -> value and
            half of its 95 % interval over seeds.
        courses: "validation" or "test" -> method -> (evaluations, mean error over tasks
            and seeds) of the best so far, to the largest budget.
        versions: of what it was found with, and on what machine.
    """

    suite: str
    seeds: tuple[int, ...]
    budgets: tuple[int, ...]
    methods: tuple[str, ...]
    pools: dict[str, int]
    errors: dict[str, Found] = field(repr=False)
    measures: dict[str, Any] = field(repr=False)
    courses: dict[str, dict[str, list[tuple[int, float]]]] = field(repr=False)
    versions: dict[str, str] = field(repr=False)

    def as_json(self) -> str:
        """Everything, as a file keeps it."""
        return json.dumps(plain(asdict(self)), indent=1, allow_nan=False) + "\n"


def compare(
    suite: str,
    methods: Sequence[str],
    *,
    lm: str | None = None,
    budgets: Sequence[int] = (10, 30),
    seeds: Iterable[int] = (0,),
    pool: int | None = None,
    folder: Path | None = None,
    say: Say = lambda line: None,
) -> Comparison:
    """Run methods over a suite.

    Args:
        suite: a name in `ALL_SUITES`, or the names of tasks with commas between.
        methods, lm: as `methods_of` takes them.
        budgets: evaluations; a search is run once, to the largest, but one with ">"
            for each.
        seeds: of the methods; the written rule has none and is run once.
        pool: random configurations a task; None: 200, and 500 for budgets above 30.
        folder: where evaluations and rows are kept; what is there is not done again.
        say: is told of each task as it is done.

    Raises:
        BadArgument: a name means nothing, or the pool is smaller than a budget.
        DataMissing: a task's data cannot be found.
        DuxError: the folder cannot be written.
    """
    names = ALL_SUITES.get(suite) or tuple(suite.split(","))
    pools = {b: pool or (_LONG_POOL if b > _LONG else _POOL) for b in budgets}
    for budget, size in pools.items():
        if size < budget:
            raise BadArgument(
                f"pool is {size} and a budget is {budget}; a pool of at least that "
                f"was wanted; pass --pool {budget}."
            )
    budgets = sorted(set(budgets))
    found = methods_of(methods, lm)
    tasks = [Evaluations(name, folder) for name in names]
    for method in found:
        method.check(tasks[0])
    rows, several = KeptRows(folder), tuple(seeds)
    longest = {task.name: Courses(task, rows) for task in tasks}
    for task in tasks:
        longest[task.name].run(found, budgets, several, pools)
        say(task.name)
    errors: dict[str, Found] = {}
    for budget in budgets:
        held = {task: each.at(budget) for task, each in longest.items()}
        errors[str(budget)] = {
            name: {task: by_name[name] for task, by_name in held.items()}
            for name in next(iter(held.values()))
        }
    return Comparison(
        suite=suite,
        seeds=several,
        budgets=tuple(budgets),
        methods=tuple(method.name for method in found),
        pools={str(budget): size for budget, size in pools.items()},
        errors=errors,
        measures={budget: measures_of(held) for budget, held in errors.items()},
        courses=course_of([each.longest for each in longest.values()]),
        versions=versions("numpy", "scikit-learn", "optuna", "torch"),
    )


class Courses:
    """What every method came to on one task.

    Attributes:
        longest: method -> for each seed the best so far, to the largest budget.
    """

    def __init__(self, task: Evaluations, rows: KeptRows) -> None:
        self._task, self._rows = task, rows
        self._at: dict[int, dict[str, list[Errors]]] = {}
        self.longest: dict[str, list[Ended]] = {}

    def at(self, budget: int) -> dict[str, list[Errors]]:
        """Method -> the errors of each seed after so many evaluations."""
        return self._at[budget]

    def run(
        self,
        methods: Sequence[Method],
        budgets: Sequence[int],
        seeds: Sequence[int],
        pools: dict[int, int],
    ) -> None:
        """Search by each method, to each budget."""
        most = max(budgets)
        self._random(budgets, pools)
        for method in methods:
            used = seeds if method.seeded else seeds[:1]
            for budget in budgets:
                whole = budget if method.by_budget else most
                runs = [
                    searched(method, self._task, whole, seed, self._rows)
                    for seed in used
                ]
                self._at[budget][method.name] = [each[budget - 1] for each in runs]
                self.longest[method.name] = runs

    def _random(self, budgets: Sequence[int], pools: dict[int, int]) -> None:
        """Random search and the defaults: what is expected, and no run."""
        task, rng = self._task, random.Random(f"pool:{self._task.name}")
        size = max(pools.values())
        drawn = [task.errors(task.space.draw(rng)) for _ in range(size)]
        first = [task.errors(each) for each in task.defaults]

        def after(number: int, pool: list[Errors]) -> dict[str, Errors]:
            begun = first[:number]
            left = number - len(begun)
            best = min(begun)
            return {
                RANDOM: expected_best(pool, number),
                DEFAULTS: best,
                SEEDED: expected_best(pool, left, begun) if left else best,
            }

        for budget in budgets:
            told = after(budget, drawn[: pools[budget]])
            self._at[budget] = {name: [errors] for name, errors in told.items()}
        pool = drawn[: pools[max(budgets)]]
        course = [after(number, pool) for number in range(1, max(budgets) + 1)]
        for name in course[0]:
            self.longest[name] = [[each[name] for each in course]]
