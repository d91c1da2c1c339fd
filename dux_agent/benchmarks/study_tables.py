"""A comparison of methods of tuning as Markdown: the paper's table, and every task."""

import math
import statistics
from collections.abc import Mapping
from typing import Any

from dux_agent.benchmarks.methods import Method
from dux_agent.benchmarks.studies import Comparison
from dux_agent.benchmarks.study_measures import DEFAULTS, SEEDED
from dux_agent.tuning_tasks.measures import RANDOM

COLUMNS = {
    "beats_random": ("beats random %", 1),
    "beats_seeded": (f"beats {SEEDED} %", 1),
    "median_change": ("median change %", 1),
    "mean_change": ("mean change %", 1),
    "mean_rank": ("mean rank", 2),
    "mean_error": ("mean error", 4),
}
"""Measure -> what a column says, and digits behind the point."""

SCRIPTED = (
    "A scripted model stood in for a language model: its rows say nothing of any, and "
    "no figure of them is to be quoted."
)


def summary(found: Comparison) -> str:
    """What the figures hang on, in a few sentences."""
    pools = ", ".join(f"{size} at {budget}" for budget, size in found.pools.items())
    versions = ", ".join(f"{name} {said}" for name, said in found.versions.items())
    return (
        f"Suite {found.suite}. Random search is its exact expectation over a pool of "
        f"random configurations a task, drawn by the task's name: {pools} evaluations; "
        f"{SEEDED!r} is the same from the default settings. Seeds "
        f"{', '.join(map(str, found.seeds))}; means over seeds are compared, ± is half "
        f"the 95 % interval of single seeds; a row without ± has one seed, or none. "
        f"{versions}."
    )


def scripted(found: Comparison) -> bool:
    """Whether a row is that of a scripted model, which stands in for another."""
    return any(Method(name).model == "scripted" for name in found.methods)


def title_of(method: str) -> str:
    """What a table calls a method."""
    return method if method in (RANDOM, DEFAULTS, SEEDED) else Method(method).title


def cell(digits: int, value: float, half: float) -> str:
    """A value and half of its interval."""
    if not math.isfinite(value):
        return "–"
    spread = "" if math.isnan(half) else f" ± {half:.{digits}f}"
    return f"{value:.{digits}f}{spread}"


def ranked(rows: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """Title and cells of each method, the best mean rank first."""
    order = sorted(rows.items(), key=lambda row: float(row[1]["mean_rank"][0]))
    return [
        (title_of(name), [cell(digits, *row[m]) for m, (_, digits) in COLUMNS.items()])
        for name, row in order
    ]


def as_text(found: Comparison, *, every_task: bool = False) -> str:
    """The tables as Markdown.

    Args:
        every_task: one more for each budget, of every task.
    """
    lines = [summary(found)]
    if scripted(found):
        lines += ["", SCRIPTED]
    for budget, told in found.measures.items():
        for which, rows in told.items():
            lines += ["", f"{budget} evaluations, {which} error, against random search"]
            lines += ["", *table_lines(["method", *_heads()], ranked(rows))]
    for budget in found.errors if every_task else ():
        lines += ["", f"Every task at {budget} evaluations: validation / test error"]
        lines += ["", *table_lines(*every(found, budget))]
    return "\n".join(lines) + "\n"


def every(
    found: Comparison, budget: str
) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """Head and rows of the table of every task."""
    methods = found.errors[budget]
    rows = []
    for task in methods[RANDOM]:
        cells = []
        for held in methods.values():
            value, test = (
                statistics.fmean(run[place] for run in held[task]) for place in (0, 1)
            )
            cells.append(_figure(value) + ("" if math.isnan(test) else f"/{test:.3f}"))
        rows.append((task, cells))
    return ["task", *map(title_of, methods)], rows


def _figure(value: float) -> str:
    return f"{value:.3f}" if value < 100 else f"{value:.3g}"


def _heads() -> list[str]:
    return [head for head, _ in COLUMNS.values()]


def table_lines(head: list[str], rows: list[tuple[str, list[str]]]) -> list[str]:
    """A table of Markdown, line by line: its head, and title and cells of each row."""
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    return lines + [f"| {name} | {' | '.join(cells)} |" for name, cells in rows]
