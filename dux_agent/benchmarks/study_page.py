"""A comparison of methods of tuning as a page: tables, and two kinds of plots."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dux_agent.benchmarks.kept_rows import unwritable
from dux_agent.benchmarks.studies import Comparison
from dux_agent.benchmarks.study_measures import DEFAULTS, SEEDED
from dux_agent.benchmarks.study_tables import (
    COLUMNS,
    SCRIPTED,
    as_text,
    every,
    ranked,
    scripted,
    summary,
    title_of,
)
from dux_agent.report.chart import Chart, Size, axes_of, chart, series
from dux_agent.report.page import render_methods
from dux_agent.run_folder.atomic import write_atomically
from dux_agent.tuning_tasks.measures import RANDOM

PAGE, TEXT, FIGURES = "index.html", "tables.md", "figures.json"

_COLOURS = 8
SIZES = (Size(880, 320, right=14, top=20), Size(360, 280, left=40, right=14, top=20))
"""Of a plot, wide and narrow."""

Points = Mapping[str, Sequence[tuple[float, float]]]


def write_page(found: Comparison, folder: Path) -> Path:
    """Write the page, the tables as Markdown, and every figure as JSON.

    Returns:
        The page.

    Raises:
        DuxError: the folder cannot be written.
    """
    return write_all(
        folder,
        page=render_methods(_view(found)),
        text=as_text(found, every_task=True),
        figures=found.as_json(),
    )


def write_all(folder: Path, *, page: str, text: str, figures: str) -> Path:
    """Write a page, its tables as Markdown and its figures as JSON; the page's place.

    Raises:
        DuxError: the folder cannot be written.
    """
    for name, content in {FIGURES: figures, TEXT: text, PAGE: page}.items():
        try:
            write_atomically(folder / name, content.encode())
        except OSError as error:
            raise unwritable(folder, error) from None
    return folder / PAGE


def _view(found: Comparison) -> dict[str, Any]:
    """The values that `templates/methods.html.j2` writes down."""
    styles = {RANDOM: "control-val", SEEDED: "control-test", DEFAULTS: "train"}
    for place, name in enumerate(found.methods):
        styles.setdefault(name, f"group-{place % _COLOURS}")
    columns = ["method", *(head for head, _ in COLUMNS.values())]
    courses = []
    for which, points in found.courses.items():
        label = f"Mean {which} error of the best so far, by evaluation"
        charts = drawn(points, styles, "evaluation", dots=False)
        courses.append({"label": label, "charts": charts})
    if len(found.budgets) > 1:
        for which in next(iter(found.measures.values())):
            ranks: dict[str, list[tuple[float, float]]] = {}
            for budget, told in found.measures.items():
                for name, row in told[which].items():
                    rank = row["mean_rank"][0]
                    ranks.setdefault(name, []).append((float(budget), rank))
            label = f"Mean rank by {which} error, by budget; 1 is best"
            charts = drawn(ranks, styles, "budget", dots=True)
            courses.append({"label": label, "charts": charts})
    return {
        "kicker": "dux bench tune",
        "title": f"Methods of tuning over {found.suite}"[:200],
        "summary": summary(found),
        "scripted": SCRIPTED if scripted(found) else "",
        "legend": [(style, title_of(name)) for name, style in styles.items()],
        "plots": "By evaluation and by budget",
        "courses": courses,
        "ranking": "Against random search",
        "tables": [
            (f"{budget} evaluations, {which} error", columns, ranked(rows))
            for budget, told in found.measures.items()
            for which, rows in told.items()
        ],
        "details": "Every task",
        "caption": "Validation / test error of the configuration that validation "
        "error chose, mean over seeds",
        "tasks": [
            (f"{budget} evaluations: validation / test error", *every(found, budget))
            for budget in found.errors
        ],
        "footer": "No row stands without random search's expectation and without "
        "random search from the default settings: much of an early lead is the "
        "defaults.",
    }


def drawn(
    points: Points, styles: Mapping[str, str], x_name: str, *, dots: bool
) -> list[Chart]:
    """Lines by name, each in its style: wide, and narrow.

    Args:
        points: name -> places across and up.
        styles: name -> style.
        x_name: what is across.
        dots: each point is marked.
    """
    charts = []
    placed = [point for held in points.values() for point in held]
    for size in SIZES:
        across, up = axes_of(size, [x for x, _ in placed], [y for _, y in placed])
        lines = [
            series(
                styles[name], [(float(x), y) for x, y in held], across, up, dots=dots
            )
            for name, held in points.items()
        ]
        charts.append(chart(size, across, up, lines, x_name=x_name))
    return charts
