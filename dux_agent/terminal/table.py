"""The tables that the command line prints; values in, Rich tables out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from dux_agent.runs.progress import Change, Epoch, Result
from dux_agent.terminal.decision_stories import stories
from dux_agent.terminal.summary import one_line, summary
from dux_agent.trace import Event

OFFLINE = "offline rules (rule-based, not a language model)"

_COLOURS = {
    "applied": "green",
    "kept": "yellow",
    "failed": "red",
    "rolled_back": "magenta",
}


def model_title(name: str) -> str:
    """The model's name as every summary says it.

    >>> model_title("offline")
    'offline rules (rule-based, not a language model)'
    """
    return OFFLINE if name in ("offline", "OfflineRules") else one_line(name)


def loss_text(loss: float | None) -> str:
    """A loss with four digits after the point, or a dash where there is none."""
    if loss is None:
        return "-"
    return f"{loss:.4f}" if math.isfinite(loss) else str(loss)


def told_loss(value: Any) -> str:
    """A loss as a trace tells it; a dash for what is no number."""
    try:
        return loss_text(float(value))
    except (TypeError, ValueError):
        return "-"


def verdict_text(verdict: str) -> Text:
    """A verdict in its colour; the word alone says it too."""
    return Text(one_line(verdict), style=_COLOURS.get(verdict, ""))


def plain_table(title: str) -> Table:
    """A table as all of ours look: no box, so that 80 columns hold more."""
    return Table(
        title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD
    )


def decisions_table(changes: Sequence[Change]) -> Table:
    """The decisions of a run that just ended, with validation losses around each."""
    table = plain_table("Decisions")
    table.add_column("after\nepoch", justify="right")
    table.add_column("verdict", no_wrap=True)
    table.add_column("what changed", ratio=1, overflow="fold")
    table.add_column("val loss\nbefore → after", justify="right", no_wrap=True)
    table.add_column("seconds", justify="right", no_wrap=True)
    for change in changes:
        decision = change.decision
        table.add_row(
            str(change.after_epoch),
            verdict_text(decision.verdict),
            Text(_what(decision.verdict, decision.source, decision.reason)),
            f"{loss_text(change.before)} → {loss_text(change.after)}",
            f"{decision.seconds:.2f}",
        )
    return table


def _what(verdict: str, source: str | None, reason: str) -> str:
    """What changed; and where nothing did, or it was undone, why."""
    about = summary(source, 96)
    if verdict == "applied" and about:
        return about
    return "; ".join(part for part in (about, one_line(reason, 110)) if part)


def epochs_table(epochs: Sequence[Epoch], control: Sequence[Epoch] | None) -> Table:
    """The losses of every epoch, the control's beside them if it ran."""
    table = plain_table("Losses")
    table.add_column("epoch", justify="right")
    for column in ("train", "val", "test"):
        table.add_column(column, justify="right", no_wrap=True)
    for column in ("train", "val", "test") if control is not None else ():
        table.add_column(f"control\n{column}", justify="right", no_wrap=True)
    for position, epoch in enumerate(epochs):
        row = [epoch.train, epoch.val, epoch.test]
        if control is not None:
            beside = control[position]
            row += [beside.train, beside.val, beside.test]
        table.add_row(str(epoch.number), *map(loss_text, row))
    return table


def comparison(result: Result) -> str:
    """One sentence that sets the final test loss beside the control's."""
    ours = result.epochs[-1].test
    if not result.control:
        return f"final test loss {loss_text(ours)}"
    theirs = result.control[-1].test
    beside = f"final test loss {loss_text(ours)}, control {loss_text(theirs)}"
    if not (math.isfinite(ours) and math.isfinite(theirs) and theirs > 0):
        return beside
    change = 100 * (ours - theirs) / theirs
    side = "below" if change <= 0 else "above"
    return f"{beside}: {abs(change):.1f} % {side} the control"


def trace_table(
    events: Sequence[Event], source_of: Callable[[str], str | None] = lambda _: None
) -> Table:
    """The decisions that a trace tells of, finished or not.

    Args:
        events: the trace.
        source_of: digest -> the source kept under it, or None.
    """
    table = plain_table("Decisions")
    table.add_column("#", justify="right", no_wrap=True)
    table.add_column("step\nepoch", justify="right", no_wrap=True)
    table.add_column("verdict\nsource", no_wrap=True)
    table.add_column("what changed", ratio=1, overflow="fold")
    table.add_column("loss\n→ after", justify="right", no_wrap=True)
    table.add_column("seconds\ntokens", justify="right", no_wrap=True)
    for story in stories(events):
        epoch = "-" if story.epoch is None else str(story.epoch)
        seconds = "-" if story.seconds is None else f"{story.seconds:.1f}"
        tokens = "-" if story.tokens is None else str(story.tokens)
        source = Text(f"\n{one_line(story.digest[:12])}", style="dim")
        table.add_row(
            str(story.number),
            f"{story.step}\n{epoch}",
            verdict_text(story.verdict) + source,
            Text(_what(story.verdict, source_of(story.digest), story.reason)),
            f"{loss_text(story.before)}\n→ {loss_text(story.after)}",
            f"{seconds}\n{tokens}",
        )
    return table
