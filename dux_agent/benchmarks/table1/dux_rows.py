"""Rows that an agent trains: the offline rules, and any language model."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from dux_agent import tasks
from dux_agent.arguments import language_models
from dux_agent.benchmarks.table1.course import Course, course_of
from dux_agent.benchmarks.table1.row import Asked, Row
from dux_agent.errors import DuxError
from dux_agent.run_folder.recorder import name_of
from dux_agent.run_history.reading import read_story
from dux_agent.run_history.records import DecisionStory
from dux_agent.runs.training import resume, train
from dux_graphs.patience import LM_TIMEOUT

OFFLINE, LM = "offline", "lm"
PAPER = {"accept": "finite", "candidates": 1, "training_losses_only": True}
"""The paper's mode, as options of a run."""

ABLATIONS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "paper": ("paper mode", PAPER),
    "no-dry-run": (
        "no dry run: one step, refused only what is not finite",
        {"accept": "finite", "dry_run_steps": 1},
    ),
    "no-guard": (
        "no dear checks and no snapshots of the guard",
        {"guard_steps": 0, "snapshots": "off"},
    ),
    "fresh": ("state is never carried over", {"carry_over": "never"}),
    "carried": ("state is always carried over", {"carry_over": "always"}),
    "candidates": ("four candidates", {"candidates": 4}),
    "table": ("history as a table", {"history": "compressed"}),
    "best": ("history of the best rules", {"history": "best"}),
    "finite": ("accepts what is finite", {"accept": "finite"}),
    "not-worse": ("accepts what is not worse", {"accept": "not_worse"}),
    "blind": ("training losses only", {"training_losses_only": True}),
    "full": ("full vocabulary in the prompt", {"vocabulary": "full"}),
    "keep-best": ("weights of the best validation", {"keep_best": True}),
}
"""What the default is compared with: name -> title, and the options of a run."""

_MADE_OF = (
    *(__name__, "dux_agent.runs", "dux_agent.live", "dux_agent.deciding"),
    *("dux_agent.training", "dux_graphs", "dux_prompts", "dux_sandbox"),
)
_RECORDED = "recorded:"
_RUNS = "runs"


def dux_rows(lm: Any = None) -> Iterable[Row]:
    """Them, in the order of the table.

    Args:
        lm: the language model, as `dux_agent.attach` takes it; None: offline rules
            alone. "recorded:FOLDER" of a table plays each run of it again.
    """
    yield dux_row(OFFLINE, "Dux, offline rules", OFFLINE)
    yield dux_row(f"{OFFLINE}-paper", "Dux, offline rules, paper mode", OFFLINE, PAPER)
    if lm is None:
        return
    told = name_of(lm)
    yield dux_row(LM, f"Dux, {told}", lm)
    yield dux_row("lm-task", f"Dux, {told}, told the task", lm, described=True)
    paper = f"Dux, {told}, paper mode"
    yield dux_row("lm-paper", paper, lm, PAPER)
    yield dux_row("lm-paper-task", f"{paper}, told the task", lm, PAPER, described=True)


def ablation_rows(lm: Any = None) -> Iterable[Row]:
    """The default, and what is otherwise by one option or two.

    Args:
        lm: the language model; None: the offline rules.
    """
    name, asked, told = (OFFLINE, OFFLINE, "offline rules")
    if lm is not None:
        name, asked, told = LM, lm, name_of(lm)
    yield dux_row(name, f"Dux, {told}", asked)
    for changed, (title, options) in ABLATIONS.items():
        yield dux_row(f"{name}-{changed}", title, asked, options)


def dux_row(
    name: str,
    title: str,
    lm: Any,
    options: Mapping[str, Any] | None = None,
    *,
    described: bool = False,
) -> Row:
    """A row of one run a seed.

    Args:
        name, title: of the row.
        lm: who is asked.
        options: of the run, by the names of `dux_agent.runs.plan.Plan`.
        described: the model is told in a few words what the task is.
    """
    find = partial(_run, lm, dict(options or {}), described)
    return Row(
        name,
        title,
        {"": find},
        on_base=True,
        asks="" if lm == OFFLINE else name_of(lm),
        modules=_MADE_OF,
    )


def _run(lm: Any, options: dict[str, Any], described: bool, asked: Asked) -> Course:
    """One run, or the rest of one that died; its folder holds every reply."""
    place, model = asked.place, _played(lm, asked.place)
    if lm == OFFLINE:
        options = {"execution": "inline", **options}
    if described:
        # Anybody's own task may say nothing of itself.
        task = tasks.build(asked.task, asked.seed)
        said = getattr(task, "description", None)
        options = {"task_description": said, **options}
    if (place / "run.json").is_file():
        result = resume(place, lm=model)
    else:
        result = train(asked.task, lm=model, seed=asked.seed, run_dir=place, **options)
    story = read_story(place)
    decisions = story.decisions
    if decisions and all(each.verdict == "failed" for each in decisions):
        shutil.rmtree(place)  # it holds nothing that was paid, and is tried again
        raise DuxError(f"{name_of(lm)} could not be asked: {decisions[0].reason}")
    course = course_of(
        result.epochs,
        gradients=story.steps + sum(map(gradients_of, decisions)),
        seconds=math.fsum(each.seconds for each in result.epochs)
        + math.fsum(each.seconds or 0.0 for each in decisions),
    )
    if result.best is not None:
        # What such a run hands over are those weights.
        course = replace(course, test=(*course.test[:-1], result.best.test))
    if lm == OFFLINE:
        shutil.rmtree(place)  # nothing in it was paid
        return course
    usages = [each.usage for each in decisions]
    money = [usage["money"] for usage in usages if "money" in usage]
    return replace(
        course,
        calls=int(sum(usage.get("calls", 0) for usage in usages)),
        tokens=int(sum(usage.get("total_tokens", 0) for usage in usages)),
        money=math.fsum(money) if len(money) == len(usages) else None,
    )


def gradients_of(decision: DecisionStory) -> int:
    """Gradient evaluations of a decision's dry runs, the incumbent's once."""
    ran = [each.data for each in decision.events if each.kind == "dry_run"]
    steps = [max(0, len(each["losses"]) - 1) for each in ran]
    incumbents = [max(0, len(each["incumbent_losses"]) - 1) for each in ran]
    return sum(steps) + max(incumbents, default=0)


def check_model(lm: Any) -> None:
    """Whether a model can be made of it, before hours are spent on other rows.

    Raises:
        BadArgument: none can.
    """
    if _recorded_runs(lm) is None:
        language_models(lm, None, seed=0, timeout=LM_TIMEOUT)


def _recorded_runs(lm: Any) -> Path | None:
    """The runs of a table that was recorded, where `lm` names its folder."""
    if not isinstance(lm, str) or not lm.startswith(_RECORDED):
        return None
    runs = Path(lm.removeprefix(_RECORDED)) / _RUNS
    return runs if runs.is_dir() else None


def _played(lm: Any, place: Path) -> Any:
    """The recording of the same run, where `lm` names the folder of a table.

    Raises:
        DuxError: the folder holds no such run.
    """
    runs = _recorded_runs(lm)
    if runs is None:
        return lm
    stem = place.name.rpartition("-")[0]
    found = sorted(runs.glob(f"{stem}-*/run.json"), key=lambda p: p.stat().st_mtime)
    if not found:
        raise DuxError(
            f"{runs} holds no run {stem}; the table that was recorded there was "
            f"wanted; ask for tasks, rows and seeds that it has."
        )
    return f"{_RECORDED}{found[-1].parent}"
