"""The paper's measures over a suite, each with its interval over seeds."""

import math
import statistics
from collections.abc import Iterable, Mapping
from typing import Any

from dux_agent.tuning_tasks.measures import RANDOM, Errors, compared
from dux_graphs.intervals import half_interval

Found = Mapping[str, Mapping[str, list[Errors]]]
"""Method -> task -> the errors of each seed."""

WHICH = ("validation", "test")
DEFAULTS, SEEDED = "defaults", "defaults + random"


def measures_of(found: Found) -> dict[str, Any]:
    """ "validation" and "test" -> method -> measure -> value and half an interval.

    The values are those of the means over seeds. The interval is that of the mean of
    single seeds, each beside the same seed of every other method; NaN where a method
    has only one. A task without a test error does not count in "test".
    """
    told = {}
    for place, which in enumerate(WHICH):
        random = found[RANDOM]
        tasks = [t for t in random if math.isfinite(random[t][0][place])]
        if not tasks:
            continue
        means = _table(found, tasks, place, None)
        seeds = max(len(runs) for held in found.values() for runs in held.values())
        each = [_compared(_table(found, tasks, place, seed)) for seed in range(seeds)]
        told[which] = {
            name: {
                measure: (
                    value,
                    _half(found[name], [one[name][measure] for one in each]),
                )
                for measure, value in row.items()
            }
            for name, row in _compared(means).items()
        }
    return told


Table = dict[str, dict[str, float]]


def _compared(table: Table) -> Table:
    rest = {name: errors for name, errors in table.items() if name != RANDOM}
    told = compared(rest, table[RANDOM])
    seeded = table.get(SEEDED, table[RANDOM])
    for name, errors in table.items():
        better = [errors[task] < seeded[task] for task in seeded]
        told[name]["beats_seeded"] = 100 * statistics.fmean(better)
    return told


def _table(found: Found, tasks: Iterable[str], place: int, seed: int | None) -> Table:
    """Method -> task -> error: of a seed, or the mean over all."""
    return {
        name: {
            task: statistics.fmean(run[place] for run in held[task])
            if seed is None
            else held[task][min(seed, len(held[task]) - 1)][place]
            for task in tasks
        }
        for name, held in found.items()
    }


def _half(held: Mapping[str, list[Errors]], values: list[float]) -> float:
    """Half of the 95 % interval of a mean over seeds; NaN where there is one seed."""
    count = min(len(runs) for runs in held.values())
    if count < 2 or not all(map(math.isfinite, values[:count])):
        return math.nan
    return half_interval(values[:count])


def course_of(
    tasks: Iterable[Mapping[str, list[list[Errors]]]],
) -> dict[str, dict[str, list[tuple[int, float]]]]:
    """The mean error of the best so far, over tasks and seeds, by evaluation.

    Args:
        tasks: of each, method -> for each seed the errors after each evaluation.
    """
    held = list(tasks)
    told: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for place, which in enumerate(WHICH):
        for name in held[0]:
            points = []
            for number in range(max(len(run) for run in held[0][name])):
                errors = [
                    statistics.fmean(run[number][place] for run in each[name])
                    for each in held
                ]
                finite = [error for error in errors if math.isfinite(error)]
                if finite and (which == "test" or len(finite) == len(errors)):
                    points.append((number + 1, statistics.fmean(finite)))
            if points:
                told.setdefault(which, {})[name] = points
    return told
