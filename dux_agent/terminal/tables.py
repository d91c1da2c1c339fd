"""The tables that the command line prints; values in, Rich tables out."""

import math
from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from dux_agent.formatting import loss_text, went_back_text
from dux_agent.run_history.records import RunHistory
from dux_agent.run_history.summary import summary
from dux_agent.runs.progress import Change, Epoch, Result
from dux_agent.showing import one_line

_COLOURS = {
    "applied": "green",
    "kept": "yellow",
    "failed": "red",
    "rolled_back": "magenta",
}


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


def trace_table(run: RunHistory) -> Table:
    """The decisions that a run folder tells of, finished or not."""
    table = plain_table("Decisions")
    table.add_column("#", justify="right", no_wrap=True)
    table.add_column("step\nepoch", justify="right", no_wrap=True)
    table.add_column("verdict\nsource", no_wrap=True)
    table.add_column("what changed", ratio=1, overflow="fold")
    table.add_column("loss\n→ after", justify="right", no_wrap=True)
    table.add_column("seconds\ntokens", justify="right", no_wrap=True)
    for decision in run.decisions:
        before, after = run.losses_around(decision)
        source = Text(f"\n{one_line(decision.digest[:12])}", style="dim")
        table.add_row(
            str(decision.number),
            f"{decision.step}\n{_or_dash(run.epochs_before(decision))}",
            verdict_text(decision.verdict) + source,
            Text(_what(decision.verdict, decision.source, decision.reason)),
            f"{loss_text(before)}\n→ {loss_text(after)}",
            f"{_or_dash(decision.seconds, '.1f')}\n"
            f"{_or_dash(decision.usage.get('total_tokens'))}",
        )
    return table


def went_back_table(run: RunHistory) -> Table:
    """The rollbacks of a run without a language model."""
    table = plain_table("Rollbacks")
    table.add_column("#", justify="right", no_wrap=True)
    table.add_column("step", justify="right", no_wrap=True)
    table.add_column("what was seen", ratio=1, overflow="fold")
    table.add_column("what was done", overflow="fold")
    for number, back in enumerate(run.went_back, 1):
        told = (str(number), str(back.step), one_line(back.reason, 200))
        table.add_row(*map(Text, (*told, went_back_text(back))))
    return table


def _or_dash(value: float | None, form: str = "") -> str:
    return "–" if value is None else format(value, form)
