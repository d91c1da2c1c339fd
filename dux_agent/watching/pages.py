"""What a watched folder looks like: the report's page, and what can be said to it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from dux_agent.formatting import moment_text, plural
from dux_agent.report.money import Prices
from dux_agent.report.page import render, render_bounded
from dux_agent.report.run_view import run_state, run_view
from dux_agent.run_folder.watchers_word import MOST_CHARACTERS, Question
from dux_agent.run_history.records import RunHistory
from dux_agent.showing import one_line
from dux_agent.watching.followed_run import FollowedRun


@dataclass(frozen=True)
class Control:
    """What can be said to a training, and what was.

    Attributes:
        goes_on: a process writes the run.
        paused: no decision is made.
        waiting: questions, each with whether it was answered.
    """

    goes_on: bool
    paused: bool
    waiting: tuple[tuple[Question, bool], ...] = ()


@dataclass(frozen=True)
class Listed:
    """A run folder among several.

    Attributes:
        name: of the folder.
        changed: when it was written last, seconds since 1970.
        goes_on: a process writes it.
    """

    name: str
    changed: float
    goes_on: bool


def render_watched(
    followed: FollowedRun, prices: Prices, control: Control, above: str = ""
) -> str:
    """The page of a run that is watched, HTML; bounded as the report is.

    Args:
        followed: the run.
        prices: of its language model.
        control: what can be said to it.
        above: address of the list that it is one of; "" where there is none.
    """
    run, whole = followed.story(), followed.whole
    finished, state = life(run, control)
    live = {
        "above": above,
        "wanted": any(one.here and not answered for one, answered in control.waiting),
        "waiting": [
            {
                "key": question.key,
                "decision": question.decision,
                "here": question.here,
                "answered": answered,
                "known": question.decision in whole,
                "which": _which(run, question),
            }
            for question, answered in control.waiting
        ],
        "paused": control.paused,
        "goes_on": control.goes_on,
        "asks": run.facts.get("model") != "none",
        "most": MOST_CHARACTERS,
        "notes": _notes(followed, run),
    }

    def view(most: int) -> Mapping[str, Any]:
        told = run_view(run, prices, most, whole=whole)
        return {**told, "live": live, "finished": finished, "state": state}

    return render_bounded("watch.html.j2", view, live=True)


def _which(run: RunHistory, question: Question) -> str:
    """Of several proposals the one that waits."""
    for decision in run.decisions:
        if decision.number == question.decision and len(decision.proposals) > 1:
            for one in reversed(decision.proposals):
                if one.digest == question.digest:
                    return f"proposal {one.number} of {len(decision.proposals)}"
    return "a proposal"


def life(run: RunHistory, control: Control) -> tuple[bool, str]:
    """Whether a run is over, and a sentence on it."""
    finished, told = run_state(run)
    planned, step = run.epochs_planned, f"step {run.steps:,}"
    if control.goes_on:
        open_ones = [one.decision for one, answered in control.waiting if not answered]
        if open_ones:
            return False, f"waits at {step} for a word on decision {open_ones[0]}"
        epochs = f"{len(run.epochs)} of {plural(planned, 'epoch')}, " if planned else ""
        paused = "; decisions are paused" if control.paused else ""
        return False, f"goes on: {epochs}{step}{paused}"
    if run.ended_by or (planned is not None and finished):
        return finished, told
    if planned is not None:
        return False, (
            f"ended early or died: no process writes it any more, "
            f"{len(run.epochs)} of {plural(planned, 'epoch')} recorded, last event "
            f"{moment_text(run.ended)}; dux run --resume goes on with it"
        )
    over = "" if finished else "; its last decision has no verdict"
    return finished, f"over at {step}: no process writes it any more{over}"


def _notes(followed: FollowedRun, run: RunHistory) -> list[str]:
    notes = []
    if followed.passed_over:
        lines = plural(followed.passed_over, "line")
        notes.append(f"{lines} of the trace are no events and were passed over.")
    older = len(run.decisions) - len(followed.whole) + followed.older
    if older > 0:
        notes.append(
            f"{plural(older, 'older decision')} stand in the figures and the chart "
            f"alone; dux report shows everything."
        )
    return notes


def render_note(path: Path, told: str) -> str:
    """A page that says why there is no other yet, HTML."""
    page = {"title": one_line(str(path), 200), "told": one_line(told, 600), "runs": []}
    return render("folder.html.j2", page, live=True)


def render_list(path: Path, runs: Iterable[Listed], token: str) -> str:
    """The page of a folder that holds run folders, HTML."""
    rows = [
        {
            "name": one_line(run.name, 200),
            "address": "?" + urlencode({"token": token, "run": run.name}),
            "changed": moment_text(run.changed),
            "goes_on": run.goes_on,
        }
        for run in runs
    ]
    told = f"{plural(len(rows), 'run')}, the newest first"
    page = {"title": one_line(str(path), 200), "told": told, "runs": rows}
    return render("folder.html.j2", page, live=True)
