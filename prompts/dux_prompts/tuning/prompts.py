"""Writes the prompts of a study: templates rendered with a view and a space."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dux_prompts.brief import HOME, MOST_FINDINGS, check_folder, render_template
from dux_prompts.tuning.space import Space
from dux_prompts.tuning.study_view import StudyView, TrialRow
from dux_prompts.tuning.values import shown

NAMES = ("system.md", "update.md", "next.md", "repair.md")
PAPER = "paper"
"""The value of `prompts` with which the prompts hold what the paper's hold."""

TASK_CHARACTERS = 4000


def render_system(
    space: Space, *, reasoning: bool, optimizer: str, prompts: str | None
) -> str:
    """Who the model is, and the form of a reply.

    Raises:
        BriefError: the folder of templates, or one of them, cannot be used.
    """
    names = {"form": _written(space.start()), "reasoning": reasoning}
    return render("system.md", prompts, names | {"optimizer": optimizer})


def render_update(
    space: Space, view: StudyView, *, free: bool, reasoning: bool, prompts: str | None
) -> str:
    """The whole study, and the demand for the next configuration.

    Raises:
        BriefError: as for `render_system`.
    """
    rows = view.shown()
    hyperparameters = [
        {
            "name": name,
            "takes": each.words(free),
            "default": "" if each.default is None else shown(each.default),
            "when": " and ".join(
                f"{other} is {' or '.join(map(shown, values))}"
                for other, values in each.when.items()
            ),
        }
        for name, each in space.items()
    ]
    names = {
        "task": view.task[:TASK_CHARACTERS],
        "hyperparameters": hyperparameters,
        "names": list(space),
        "defaults": any(each["default"] for each in hyperparameters),
        "conditions": any(each["when"] for each in hyperparameters),
        "free": free,
        "trials": [_row(space, row) for row in rows],
        "left_out": len(view.trials) - len(rows),
        "form": _written(space.start()),
        "reasoning": reasoning,
        "budget": "some" if view.budget is None else view.budget,
    }
    return render("update.md", prompts, names | _shared(space, view))


def render_next(
    space: Space, view: StudyView, *, reasoning: bool, prompts: str | None
) -> str:
    """What came of the last configurations, for a chat that knows the others.

    Raises:
        BriefError: as for `render_system`.
    """
    news = list(view.trials)[len(view.trials) - (view.news or 0) :]
    names = {"news": [_row(space, row) for row in news], "reasoning": reasoning}
    return render("next.md", prompts, names | _shared(space, view))


def render_repair(
    attempts: Sequence[Mapping[str, Any]],
    tries_left: int,
    *,
    prompts: str | None,
    kind: str = "tune",
) -> str:
    """What was found in the last configuration, or the last program.

    Args:
        kind: as for `render`.

    Raises:
        BriefError: as for `render_system`.
    """
    found = [each for attempt in attempts for each in attempt["findings"]]
    names = {"findings": found[:MOST_FINDINGS], "tries_left": tries_left}
    return render("repair.md", prompts, names, kind)


def check_prompts(prompts: str | None) -> str | None:
    """The argument `prompts`: None, "paper", or a folder that holds templates.

    Raises:
        BriefError: it is none of them.
    """
    if prompts is None or prompts == PAPER:
        return prompts
    return str(check_folder(prompts, NAMES))


def _shared(space: Space, view: StudyView) -> dict[str, Any]:
    best, optimizer = view.best, view.optimizer
    return {
        "maximize": view.maximize,
        "best": None if best is None else _row(space, best),
        "left_text": left_text(view),
        "pending": [_written(config) for config in view.pending],
        "optimizer": None
        if optimizer is None
        else {
            "name": optimizer["name"],
            "proposal": _written(optimizer["proposal"]),
            "mean": _written(optimizer["mean"]) if optimizer.get("mean") else "",
            "spread": _written(optimizer["spread"]) if optimizer.get("spread") else "",
        },
    }


def left_text(view: StudyView) -> str:
    """How many evaluations are left, in a sentence."""
    if view.left is None:
        return "Further evaluations are left."
    if view.left == 1:
        return "This is the last evaluation."
    return f"{view.left} evaluations are left, this one included."


def value_text(row: TrialRow) -> str:
    """What came of a trial: four digits, or why it failed."""
    if row.value is None:
        return f"failed: {row.error or 'no value'}"
    return f"{row.value:.4g}"


def _row(space: Space, row: TrialRow) -> dict[str, Any]:
    value = value_text(row)
    return {
        "number": row.number,
        "value": value,
        "value_as_e": value if row.value is None else f"{row.value:.4e}",
        "config": _written(row.config),
        "cells": [
            shown(row.config[name]) if name in row.config else "" for name in space
        ],
        "yours": row.yours,
    }


def _written(config: Mapping[str, Any]) -> str:
    """A configuration as JSON, numbers with four digits."""
    held = [f'"{name}": {shown(value)}' for name, value in config.items()]
    return f"{{{', '.join(held)}}}"


def render(
    name: str, prompts: str | None, names: Mapping[str, Any], kind: str = "tune"
) -> str:
    """A template of ours, of the paper's contents, or of the user's folder.

    Args:
        kind: the folder of our templates; that of the paper's contents has its name
            with `_paper` behind it.

    Raises:
        BriefError: the folder of templates, or one of them, cannot be used.
    """
    if prompts == PAPER:
        return render_template(name, None, HOME / f"{kind}_paper", names)
    folder = None if prompts is None else check_folder(Path(prompts), NAMES)
    return render_template(name, folder, HOME / kind, names)
