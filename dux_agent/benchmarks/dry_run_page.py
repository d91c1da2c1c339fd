"""What `dux bench judge` found, as Markdown and as a page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dux_agent.benchmarks.code_digest import versions
from dux_agent.benchmarks.dry_run_judge import (
    HORIZONS,
    SPLITS,
    TRUTHS,
    Decision,
    foretold,
    mean_ranks,
)
from dux_agent.benchmarks.study_page import drawn, write_all
from dux_agent.benchmarks.study_tables import table_lines
from dux_agent.report.page import render_methods
from dux_agent.run_folder.trace import plain

_HEAD = ["steps, batches", *(f"{truth}: rank correlation" for truth in TRUTHS)]
_HEADS = [*_HEAD, *(f"{truth}: first choice to the best" for truth in TRUTHS)]
_BIASED = ["proposal", "rank in 10 steps", "rank after the next interval", "at the end"]
_STYLES = {"training": "train", "held back": "group-0"}

Lines = list[tuple[str, list[str]]]


def as_text(decisions: Sequence[Decision], names: Sequence[str]) -> str:
    """The tables as Markdown."""
    lines = [_summary(decisions, names), "", *table_lines(_HEADS, _horizons(decisions))]
    lines += ["", "Mean ranks, 1 for the lowest loss:", ""]
    return "\n".join([*lines, *table_lines(_BIASED, _bias(decisions))]) + "\n"


def write_judged(
    decisions: Sequence[Decision], names: Sequence[str], folder: Path
) -> Path:
    """Write the page, its tables as Markdown and its figures as JSON; its place.

    Raises:
        DuxError: the folder cannot be written.
    """
    figures = [
        {name: [*each.seen.values(), *each.live.values()] for name, each in one.items()}
        for one in decisions
    ]
    return write_all(
        folder,
        page=render_methods(_view(decisions, names)),
        text=as_text(decisions, names),
        figures=json.dumps(plain(figures), allow_nan=False) + "\n",
    )


def _summary(decisions: Sequence[Decision], names: Sequence[str]) -> str:
    told = ", ".join(f"{name} {said}" for name, said in versions("torch").items())
    return (
        f"{len(decisions)} decisions with {len(decisions[0])} proposals each, on "
        f"{', '.join(names)}. A dry run is judged by its last three training losses, "
        f"or by the validation loss of its copy; what comes is the validation loss "
        f"after the next epoch, and at the end of the run. ± is half the 95 % interval "
        f"over decisions. {told}."
    )


def _horizons(decisions: Sequence[Decision]) -> Lines:
    told = []
    for split in SPLITS:
        for horizon in HORIZONS:
            found = [foretold(decisions, split, horizon, truth) for truth in TRUTHS]
            ways = [f"{f.correlation[0]:.2f} ± {f.correlation[1]:.2f}" for f in found]
            cells = [*ways, *(f"{each.chosen:.2f}" for each in found)]
            told.append((f"{horizon}, {split}", cells))
    return told


def _bias(decisions: Sequence[Decision]) -> Lines:
    found = [
        mean_ranks(decisions, lambda tried: tried.seen["training", 10]),
        mean_ranks(decisions, lambda tried: tried.live["next"]),
        mean_ranks(decisions, lambda tried: tried.live["end"]),
    ]
    names = sorted(found[0], key=lambda name: found[-1][name])
    return [(name, [f"{each[name]:.1f}" for each in found]) for name in names]


def _view(decisions: Sequence[Decision], names: Sequence[str]) -> dict[str, Any]:
    """The values that `templates/methods.html.j2` writes down."""
    courses = []
    for truth in TRUTHS:
        points = {
            split: [
                (float(n), foretold(decisions, split, n, truth).correlation[0])
                for n in HORIZONS
            ]
            for split in SPLITS
        }
        label = f"Rank correlation with the loss: {truth}"
        charts = drawn(points, _STYLES, "steps of the dry run", dots=True)
        courses.append({"label": label, "charts": charts})
    return {
        "kicker": "dux bench judge",
        "title": "The dry run as a judge",
        "summary": _summary(decisions, names),
        "scripted": "",
        "legend": [(style, f"{name} batches") for name, style in _STYLES.items()],
        "plots": "By steps",
        "courses": courses,
        "ranking": "How well its verdict foretells",
        "tables": [
            ("next: the next interval; end: of the run", _HEADS, _horizons(decisions))
        ],
        "details": "What a short look gets wrong",
        "caption": "Mean ranks over decisions, 1 for the lowest loss",
        "tasks": [("every proposal", _BIASED, _bias(decisions))],
        "footer": "A dry run of few steps sees little of a rate that pays later.",
    }
