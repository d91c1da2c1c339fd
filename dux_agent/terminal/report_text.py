"""What the commands print when they are done; the only place that prints tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from dux_agent.formatting import loss_text, model_title, plural
from dux_agent.run_history.records import RunHistory
from dux_agent.runs.progress import Result
from dux_agent.showing import one_line
from dux_agent.terminal.tables import (
    comparison,
    decisions_table,
    epochs_table,
    plain_table,
    trace_table,
    went_back_table,
)

if TYPE_CHECKING:
    from dux_agent.runs.replaying import Replay


def say(console: Console, text: str) -> None:
    # Never wrapped or coloured: people copy paths and figures, scripts read them.
    console.print(Text(text), soft_wrap=True)


def print_result(console: Console, result: Result) -> None:
    """A finished run: losses, decisions, what it came to, where it is recorded."""
    model = model_title(result.model_name)
    say(console, f"{result.task}, seed {result.seed}, model: {model}")
    console.print(epochs_table(result.epochs, result.control))
    console.print(decisions_table(result.changes))
    applied = sum(change.decision.verdict == "applied" for change in result.changes)
    say(
        console,
        f"{plural(len(result.changes), 'decision')}, {applied} applied; "
        f"{comparison(result)}; "
        f"{result.seconds:.1f} s",
    )
    if result.dropped:
        say(
            console,
            "one decision more was still being made when the training ended, and was "
            "dropped: the model had not answered, or its proposal was being tried",
        )
    say_used(console, result)
    if result.best is not None:
        last = result.epochs[-1]
        say(
            console,
            f"best validation loss {result.best.val:.4f} after step "
            f"{result.best.step}, test {result.best.test:.4f}; at the end "
            f"{last.val:.4f}, test {last.test:.4f}",
        )
    if result.run_dir is not None:
        say(console, f"run folder: {result.run_dir}")


def say_used(console: Console, result: Result) -> None:
    """What the calls of a language model have come to, where one was asked."""
    usages = [change.decision.usage for change in result.changes]
    calls, tokens, money = (
        sum(usage.get(name, 0) for usage in usages)
        for name in ("calls", "total_tokens", "money")
    )
    if not calls or result.model_name == "offline":
        return
    dollars = f", ${money:.4f}" if money else ""
    of_model = f"{plural(int(calls), 'call')} of the language model"
    say(console, f"{of_model}, {tokens:,} tokens{dollars}")


def print_facts(console: Console, facts: Mapping[str, Any]) -> None:
    """What was run, in one line."""
    told = {key: one_line(str(facts.get(key, "?"))) for key in ("task", "seed")}
    model = model_title(str(facts.get("model", "?")))
    say(
        console,
        f"{told['task']}, seed {told['seed']}, model: {model}, "
        f"{one_line(str(facts.get('created', '')))}",
    )


def print_trace(console: Console, run: RunHistory) -> None:
    """A run folder: what was run, its epochs, its decisions."""
    print_facts(console, run.facts)
    if run.epochs:
        table = plain_table("Losses")
        for column in ("epoch", "train", "val", "test"):
            table.add_column(column, justify="right")
        for epoch in run.epochs:
            losses = (epoch.train, epoch.val, epoch.test)
            table.add_row(str(epoch.number), *map(loss_text, losses))
        console.print(table)
    if run.decisions or not run.went_back:
        console.print(trace_table(run))
    if run.went_back:
        console.print(went_back_table(run))
    if run.ended_by:
        say(console, one_line(run.ended_by))


_MOST_DIFFERENCES = 40


def print_replay(console: Console, replay: Replay) -> None:
    """What a replay compared, and what differed."""
    if replay.differences:
        table = plain_table("Differences")
        table.add_column("where", no_wrap=True)
        table.add_column("what", no_wrap=True)
        table.add_column("recorded", ratio=1, overflow="fold")
        table.add_column("replayed", ratio=1, overflow="fold")
        for one in replay.differences[:_MOST_DIFFERENCES]:
            told = (one.where, one.what, one.recorded, one.replayed)
            table.add_row(*(Text(one_line(text)) for text in told))
        console.print(table)
    more = len(replay.differences) - _MOST_DIFFERENCES
    if more > 0:
        say(console, f"and {more} more")
    decisions = plural(replay.decisions, "decision")
    what = f"{decisions} and {plural(replay.losses, 'loss', 'losses')}"
    if not replay.complete:
        what += ", as far as the run had come"
    if replay.strangers:
        what += f"; {plural(replay.strangers, 'prompt')} read otherwise"
    count = len(replay.differences)
    ended = plural(count, "difference") if count else "the same to the last bit"
    say(console, f"compared {what}: {ended}")
