"""What the page says of a whole run: a `RunHistory` made into plain values."""

from collections.abc import Container
from typing import Any

from dux_agent.formatting import (
    VERDICTS,
    loss_text,
    model_title,
    moment_text,
    plural,
    seconds_text,
    verdict_class,
    went_back_text,
)
from dux_agent.report.decision_view import Told, View, segment, view_of
from dux_agent.report.money import Prices
from dux_agent.report.run_charts import MOST_POINTS, WIDE, loss_charts
from dux_agent.report.run_figures import figures_of
from dux_agent.report.thinning import not_finite
from dux_agent.run_history.records import DecisionStory, RunHistory
from dux_agent.showing import one_line

_LEGEND = {
    "train": "training, step by step; the band spans the steps drawn as one point",
    "val": "validation",
    "test": "test",
    "control-val": "control, validation",
    "control-test": "control, test",
}
_MOST_ROWS = 200


def run_view(
    run: RunHistory, prices: Prices, most: int, whole: Container[int] | None = None
) -> View:
    """The values that `templates/run.html.j2` writes down.

    Args:
        run: what happened.
        prices: of the language model.
        most: characters of each text that are shown.
        whole: numbers of the decisions that are told of one by one; None: of all.
    """
    told = Told(most)
    charts = loss_charts(run)
    finished, state = run_state(run)
    return {
        "title": run_title(run),
        "lead": f"{model_title(_fact(run, 'model'))} · {_fact(run, 'created')} · "
        f"{one_line(str(run.path), 200)}",
        "finished": finished,
        "state": state,
        "figures": figures_of(run, prices),
        "charts": charts,
        "chart_label": _chart_label(run),
        "legend": [(name, _LEGEND[name]) for name in _shown(run)],
        "verdicts": [
            (verdict, text)
            for verdict, text in VERDICTS.items()
            if any(verdict_class(each.verdict) == verdict for each in run.decisions)
        ],
        "not_finite": len(not_finite(run.losses)),
        "epochs": _rows(run),
        "has_control": bool(run.control),
        "rollbacks": [
            [f"{back.step:,}", one_line(back.reason, 300), went_back_text(back)]
            for back in run.went_back[:_MOST_ROWS]
        ],
        "timeline": _timeline(run),
        "decisions": [
            view_of(decision, run, prices, told)
            for decision in run.decisions
            if whole is None or decision.number in whole
        ],
        "source_line": _versions(run),
        "rule": (
            f"Drawn and shown within bounds: the training curve has at most "
            f"{MOST_POINTS[WIDE]} points, each the mean of the steps about it with "
            f"their lowest and highest as a band; a text of more than {most:,} "
            f"characters is cut in the middle and says so; a message that was shown "
            f"before is named instead of repeated. The run folder holds everything."
        ),
    }


def run_title(run: RunHistory) -> str:
    """What was run."""
    task, seed = _fact(run, "task"), _fact(run, "seed")
    return f"{task or 'a training'}, seed {seed}" if seed else task


def _fact(run: RunHistory, name: str) -> str:
    value = run.facts.get(name)
    return "" if value is None else one_line(str(value), 200)


def run_state(run: RunHistory) -> tuple[bool, str]:
    """Whether all epochs that were planned are there, and a sentence on it."""
    planned, done = run.epochs_planned, len(run.epochs)
    if run.ended_by:
        return False, f"ended at step {run.steps:,}: {one_line(run.ended_by, 400)}"
    open_ones = [each for each in run.decisions if each.verdict == "unfinished"]
    if planned is None:
        told = f"{plural(run.steps, 'step')} recorded"
        if open_ones:
            return False, f"{told}; decision {open_ones[-1].number} has no verdict yet"
        return True, told
    if done >= planned:
        return True, f"finished: {plural(done, 'epoch')}"
    return False, (
        f"still going on, or ended early: {done} of {plural(planned, 'epoch')} "
        f"recorded, last event {moment_text(run.ended)}"
    )


def _shown(run: RunHistory) -> list[str]:
    shown = (
        ["train"] if run.losses or any(e.train is not None for e in run.epochs) else []
    )
    for name, epochs in (("", run.epochs), ("control-", run.control)):
        for kind in ("val", "test"):
            if any(getattr(each, kind) is not None for each in epochs):
                shown.append(name + kind)
    return shown


def _chart_label(run: RunHistory) -> str:
    label = f"Losses over {plural(run.steps, 'step')}"
    if run.epochs:
        first, last = run.epochs[0], run.epochs[-1]
        label += (
            f"; validation loss {loss_text(first.val)} after epoch {first.number}, "
            f"{loss_text(last.val)} after epoch {last.number}"
        )
    told = [f"{each.number} at step {each.step}" for each in run.decisions[:12]]
    label = f"{label}. Decisions: {', '.join(told) or 'none'}."
    back = [f"step {each.step}" for each in run.went_back[:12]]
    return f"{label} Rollbacks: {', '.join(back)}." if back else label


def _rows(run: RunHistory) -> list[list[str]]:
    known = {each.number: each for each in run.epochs}
    beside = {each.number: each for each in run.control}
    numbers = sorted({*known, *beside})
    if len(numbers) > _MOST_ROWS:
        stride = -(-len(numbers) // _MOST_ROWS)
        numbers = sorted({*numbers[::stride], numbers[-1]})
    rows = []
    for number in numbers:
        cells = [f"{number}"]
        for epochs in (known, beside) if beside else (known,):
            epoch = epochs.get(number)
            for kind in ("train", "val", "test"):
                cells.append(loss_text(getattr(epoch, kind) if epoch else None))
        rows.append(cells)
    return rows


def _timeline(run: RunHistory) -> View | None:
    """Wall time from the first to the last event: control, training, deciding."""
    length = run.ended - run.began
    if length <= 0:
        return None
    segments: list[View] = []

    def add(kind: str, start: float, end: float, label: str) -> None:
        x = 1000 * (start - run.began) / length
        width = 1000 * max(end - start, 0.0) / length
        told = f"{label}, {seconds_text(end - start)}"
        segments.append(segment(kind, x, width, told))

    began = run.agent_began or run.ended
    if run.control:
        add("control", run.began, began, "control")
    add("training", began, run.ended, "training with the agent")
    for each in run.decisions:
        kind = verdict_class(each.verdict)
        add(kind, each.began, _ended(each), f"decision {each.number}: {each.verdict}")
    deciding = sum(_ended(each) - each.began for each in run.decisions)
    legend = [("training", "training")]
    if run.control:
        legend.insert(0, ("control", "control"))
    for verdict in VERDICTS:
        if any(verdict_class(each.verdict) == verdict for each in run.decisions):
            legend.append((verdict, f"deciding: {verdict.replace('_', ' ')}"))
    return {
        "segments": segments,
        "began": moment_text(run.began),
        "ended": moment_text(run.ended),
        "legend": legend,
        "label": f"{seconds_text(length)} of wall time, {seconds_text(deciding)} of it "
        f"deciding",
    }


def _ended(decision: DecisionStory) -> float:
    return max(decision.ended, decision.began)


def _versions(run: RunHistory) -> str:
    versions: Any = run.facts.get("versions")
    by_name = versions if isinstance(versions, dict) else {}
    parts = [
        f"{name} {by_name[name]}" for name in ("dux-agent", "torch") if name in by_name
    ]
    told = ", ".join(one_line(part, 60) for part in parts) or "versions unknown"
    return f"Made by dux report from {plural(run.events, 'event')}; {told}."
