"""The table as Markdown: every task, and what each row comes to over all of them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from dux_agent.benchmarks.paired import Paired
from dux_agent.benchmarks.study_tables import table_lines
from dux_agent.benchmarks.table1.table import CONTROL, Entry, Table
from dux_agent.report.comparison import spread_of

OVERALL = ("row", "geometric mean of ratios to the control", "tasks", "trainings")
_BESIDE = ("offline", "lm")
_NAMED = 6  # tasks, where there are not more
Lines = list[tuple[str, list[str]]]


def summary(found: Table) -> str:
    """What the figures are, and what they hang on."""
    told = ", ".join(f"{name} {said}" for name, said in found.versions.items())
    return (
        f"Final test losses, of the weights of the last step, torch on one thread; "
        f"seeds {_seeds(found)}. ± is the standard deviation over seeds. A change is "
        f"the mean difference to the same seeds of another row, in percent of that "
        f"row's mean, ± half of its paired 95 % interval (Student's t), with the p of "
        f"a paired t-test; what lies within the interval, or within 2 %, is noise. "
        f"Where a best rate is chosen by test loss, with hindsight no user has, all "
        f"are paid. Gradients are gradient evaluations, dry runs included. {told}."
    )


def _seeds(found: Table) -> str:
    """Which of them were run on which tasks."""
    several: dict[tuple[int, ...], list[str]] = {}
    for task, own in found.seeds.items():
        several.setdefault(own, []).append(task)
    return "; ".join(
        f"{', '.join(map(str, own))} of "
        + (", ".join(named) if len(named) <= _NAMED else f"{len(named)} tasks")
        for own, named in several.items()
    )


def heads(found: Table, task: str) -> list[str]:
    """Of the columns of a task."""
    beside = [f"change to {name} %" for name in (CONTROL, *_beside(found, task))]
    last = ("trainings", "gradients", "seconds", "tokens", "money", "chosen")
    return ["row", "train", "test", "median", "ratio", *beside, *last]


def rows_of_task(found: Table, task: str) -> Lines:
    """Title and cells of each row, the lowest mean test loss first."""
    held = found.entries[task]
    order = sorted(held, key=lambda row: _mean(held[row].losses))
    return [(found.titles[row], _cells(found, task, row)) for row in order]


def overall(found: Table) -> Lines:
    """Title and cells of each row over all tasks, the lowest mean ratio first."""
    told = []
    for row, title in found.titles.items():
        mean, count = found.ratio(row)
        if count:
            cost = max(
                held[row].courses[0].trainings
                for held in found.entries.values()
                if row in held
            )
            told.append((mean, (title, [f"{mean:.3f}", str(count), str(cost)])))
    return [line for _, line in sorted(told)]


def as_text(found: Table) -> str:
    """All of it."""
    lines = [summary(found), "", *table_lines([*OVERALL], overall(found))]
    for task in found.entries:
        cells = rows_of_task(found, task)
        lines += ["", f"## {task}", "", *table_lines(heads(found, task), cells)]
    return "\n".join(lines) + "\n"


def in_short(found: Table) -> str:
    """The paper's table: a line for each row, a column for each task, for a README."""
    tasks = list(found.entries) if len(found.entries) <= _NAMED else []
    rows = {title: row for row, title in found.titles.items()}
    lines: Lines = []
    for title, (ratio, _, trainings) in overall(found):
        reached = [_in_short(found, task, rows[title]) for task in tasks]
        lines.append((title, [trainings, *reached, ratio]))
    told = ", ".join(f"{name} {said}" for name, said in found.versions.items())
    head = ["row", "trainings", *tasks, "ratio to the control"]
    table = "\n".join(table_lines(head, lines))
    return (
        f"{table}\n\nFinal test losses, mean ± standard deviation over seeds "
        f"{_seeds(found)}; = where the change to the control is noise (paired 95 % "
        f"interval, 2 %); the ratio is the geometric mean over {len(found.entries)} "
        f"tasks. {told}.\n"
    )


def _in_short(found: Table, task: str, row: str) -> str:
    if row not in found.entries[task]:
        return ""
    paired = found.paired(task, row)
    noise = row != CONTROL and paired is not None and paired.word == "noise"
    return _spread(found.entries[task][row].losses) + " =" * noise


def change_text(paired: Paired) -> str:
    """A change, how sure it is, and the word for it."""
    mean, half = paired.change
    if not paired.pairs:
        return "–"
    if not math.isfinite(mean):
        return "diverged"
    if not math.isfinite(half):
        return f"{100 * mean:+.1f}, one seed"
    return (
        f"{100 * mean:+.1f} ± {100 * half:.1f}, p {paired.probability:.2g}: "
        f"{paired.word}"
    )


def _beside(found: Table, task: str) -> list[str]:
    return [name for name in _BESIDE if name in found.entries[task]]


def _cells(found: Table, task: str, row: str) -> list[str]:
    entry = found.entries[task][row]
    changes = []
    for other in (CONTROL, *_beside(found, task)):
        paired = found.paired(task, row, other)
        changes.append("" if paired is None or row == other else change_text(paired))
    paired = found.paired(task, row)
    ratio = None if paired is None else paired.ratio
    return [
        _spread([course.train[-1] for course in entry.courses]),
        _spread(entry.losses),
        _loss(statistics.median(entry.losses)),
        "–" if ratio is None else f"{ratio:.3g}",
        *changes,
        *_cost(entry),
        entry.chosen,
    ]


def _cost(entry: Entry) -> list[str]:
    """Means over seeds, and the money of all of them."""
    courses = entry.courses
    money = [course.money for course in courses]
    known = [each for each in money if each is not None]
    return [
        str(courses[0].trainings),
        f"{statistics.fmean(course.gradients for course in courses):,.0f}",
        f"{statistics.fmean(course.seconds for course in courses):.1f}",
        f"{statistics.fmean(course.tokens for course in courses):,.0f}",
        f"${math.fsum(known):.4f}" if len(known) == len(money) else "unknown",
    ]


def _mean(losses: Sequence[float]) -> float:
    mean = statistics.fmean(losses)
    return mean if math.isfinite(mean) else math.inf


def _spread(losses: Sequence[float]) -> str:
    spread = spread_of(losses)
    if not spread.count:
        return "diverged"
    told = _loss(spread.mean)
    if spread.count > 1:
        told += f" ± {spread.deviation:.2g}"
    return f"{told} ({spread.lost} diverged)" if spread.lost else told


def _loss(loss: float) -> str:
    return f"{loss:.4g}" if math.isfinite(loss) else "diverged"
