"""The table as a page: losses by epoch, the overall table, and one for every task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from dux_agent.benchmarks.study_page import SIZES, write_all
from dux_agent.benchmarks.table1.table import CONTROL, Entry, Table
from dux_agent.benchmarks.table1.table_text import (
    OVERALL,
    as_text,
    heads,
    in_short,
    overall,
    rows_of_task,
    summary,
)
from dux_agent.report.chart import Chart, axes_of, banded, chart
from dux_agent.report.comparison import spread_of
from dux_agent.report.page import render_methods
from dux_agent.run_folder.atomic import write_atomically

_SHOWN = ("onecycle", "schedule-free", "muon", "soap", "tpe", "recipe", "offline", "lm")
"""Rows with a line in a plot; more could not be told apart."""
SHORT = "table1.md"
_PLOTTED = 12  # tasks: those of a whole family would make a page of megabytes


def write_table(found: Table, folder: Path) -> Path:
    """Write the page, the tables as Markdown, and every figure as JSON.

    The paper's table, short enough for a README, is a file of its own.

    Returns:
        The page.

    Raises:
        DuxError: the folder cannot be written.
    """
    place = write_all(
        folder, page=page_of(found), text=as_text(found), figures=found.as_json()
    )
    write_atomically(folder / SHORT, in_short(found).encode())
    return place


def page_of(found: Table) -> str:
    """The page, HTML."""
    return render_methods(_view(found))


def _view(found: Table) -> dict[str, Any]:
    """The values that `templates/methods.html.j2` writes down."""
    shown = [row for row in found.titles if row in _SHOWN]
    if len(shown) < 2:
        shown = [row for row in found.titles if row != CONTROL][:8]
    styles = {CONTROL: "control-val"}
    styles |= {row: f"group-{at % 8}" for at, row in enumerate(shown)}
    return {
        "kicker": f"dux bench {found.suite}",
        "title": "Training losses, and what they cost",
        "summary": summary(found),
        "scripted": "",
        "legend": [(style, found.titles[row]) for row, style in styles.items()],
        "plots": "Test loss by epoch, mean and one standard deviation over seeds"
        + f" (the first {_PLOTTED} tasks)" * (len(found.entries) > _PLOTTED),
        "courses": [
            {"label": task, "charts": _drawn(held, styles)}
            for task, held in islice(found.entries.items(), _PLOTTED)
        ],
        "ranking": "Over all tasks",
        "tables": [
            ("ratio of final test loss to the control's", OVERALL, overall(found))
        ],
        "details": "Every task",
        "caption": "Final losses, means over seeds, the lowest test loss first",
        "tasks": [
            (task, heads(found, task), rows_of_task(found, task))
            for task in found.entries
        ],
        "footer": "No row stands without the control; one configuration for all tasks.",
    }


def _drawn(held: Mapping[str, Entry], styles: Mapping[str, str]) -> list[Chart]:
    courses = {row: _course(held[row]) for row in styles if row in held}
    placed = [point for points in courses.values() for point in points]
    charts = []
    for size in SIZES:
        losses = [loss for point in placed for loss in point[1:]]
        across, up = axes_of(size, [point[0] for point in placed], losses)
        lines = [
            banded(styles[row], points, across, up, dots=True)
            for row, points in courses.items()
        ]
        charts.append(chart(size, across, up, lines, x_name="epoch"))
    return charts


def _course(entry: Entry) -> Sequence[tuple[float, float, float, float]]:
    """Epoch, and low, mean and high of its test losses."""
    told = []
    for at, losses in enumerate(
        zip(*(each.test for each in entry.courses), strict=True)
    ):
        spread = spread_of(losses)
        if spread.count:
            low = max(spread.low, spread.mean - spread.deviation)
            high = spread.mean + spread.deviation
            told.append((at + 1.0, low, spread.mean, high))
    return told
