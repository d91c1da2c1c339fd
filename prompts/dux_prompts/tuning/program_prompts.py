"""Writes the prompts of a study of code: templates rendered with its programs."""

from collections.abc import Mapping, Sequence
from typing import Any

from dux_prompts.tuning.program import SOURCE, headline
from dux_prompts.tuning.prompts import TASK_CHARACTERS, left_text, render, value_text
from dux_prompts.tuning.prompts import render_repair as _render_repair
from dux_prompts.tuning.study_view import StudyView, TrialRow
from dux_sandbox.programs.hparams import LOSSES, SCHEDULES

_SOURCE_CHARACTERS = 16_000
_MOST_TOGETHER = 60_000  # of the programs of all trials, where a template shows them
_FOLDER = "tune_code"


def render_system(*, reasoning: bool, prompts: str | None) -> str:
    """Who the model is, what a program defines, and the form of a reply.

    Raises:
        BriefError: the folder of templates, or one of them, cannot be used.
    """
    losses = {"numbers": LOSSES[False], "classes": LOSSES[True]}
    names = {"reasoning": reasoning, "losses": losses, "schedules": SCHEDULES}
    return render("system.md", prompts, names, _FOLDER)


def render_update(view: StudyView, *, reasoning: bool, prompts: str | None) -> str:
    """The whole study, and the demand for the next program.

    Raises:
        BriefError: as for `render_system`.
    """
    rows = view.shown()
    best, last = view.best, view.trials[-1] if view.trials else None
    names = {
        "task": view.task[:TASK_CHARACTERS],
        "maximize": view.maximize,
        "trials": [_row(row, _MOST_TOGETHER // len(rows)) for row in rows],
        "left_out": len(view.trials) - len(rows),
        "best": None if best is None else _row(best),
        "last": None if last is None or last == best else _row(last),
        "pending": [headline(str(each[SOURCE])) for each in view.pending],
        "budget": "some" if view.budget is None else view.budget,
        "left_text": left_text(view),
        "reasoning": reasoning,
    }
    return render("update.md", prompts, names, _FOLDER)


def render_next(view: StudyView, *, reasoning: bool, prompts: str | None) -> str:
    """What came of the last programs, for a chat that knows the others.

    Raises:
        BriefError: as for `render_system`.
    """
    news = list(view.trials)[len(view.trials) - (view.news or 0) :]
    best = view.best
    names = {
        "news": [_row(row) for row in news],
        "best": None if best is None else _row(best),
        "pending": [headline(str(each[SOURCE])) for each in view.pending],
        "left_text": left_text(view),
        "reasoning": reasoning,
    }
    return render("next.md", prompts, names, _FOLDER)


def render_repair(
    attempts: Sequence[Mapping[str, Any]], tries_left: int, *, prompts: str | None
) -> str:
    """What was found in the last program; see `prompts.render_repair`."""
    return _render_repair(attempts, tries_left, prompts=prompts, kind=_FOLDER)


def _row(row: TrialRow, most: int = _SOURCE_CHARACTERS) -> dict[str, Any]:
    source = str(row.config[SOURCE])
    most = min(most, _SOURCE_CHARACTERS)
    cut = len(source) > most
    return {
        "number": row.number,
        "value": value_text(row),
        "failed": row.value is None,
        "headline": headline(source),
        "source": source[:most] + ("\n# (cut here)\n" if cut else ""),
        "yours": row.yours,
    }
