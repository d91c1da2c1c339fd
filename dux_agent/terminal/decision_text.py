"""One decision in the terminal: what was said, found, tried, and what changed."""

import difflib
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict

from rich.console import Console
from rich.text import Text

from dux_agent.formatting import loss_text
from dux_agent.run_folder.events import RollbackEvent
from dux_agent.run_history.records import DecisionStory
from dux_agent.showing import one_line
from dux_agent.terminal.report_text import say
from dux_agent.terminal.tables import plain_table, verdict_text
from dux_graphs.events import (
    ApplyEvent,
    DryRunEvent,
    ErrorEvent,
    PromptEvent,
    ReplyEvent,
    StaticCheckEvent,
)

# No source that a rule may have is longer; comparing takes its square in time.
_LONGEST_COMPARED = 65_536

_STYLES = {"+": "green", "-": "red", "@": "cyan"}


def clean_lines(text: str) -> list[str]:
    """The lines of a text as a terminal may show them: no control characters.

    >>> clean_lines("a\\tb\\n\\x1b[31mc")
    ['a    b', ' [31mc']
    """
    return [
        "".join(
            " " if unicodedata.category(sign).startswith("C") else sign
            for sign in line.expandtabs(4)
        ).rstrip()
        for line in text.splitlines()
    ]


def print_decision(console: Console, decision: DecisionStory) -> None:
    """Everything a trace tells of one decision."""
    head = Text(f"Decision {decision.number} at step {decision.step}: ", style="bold")
    console.print(head + verdict_text(decision.verdict))
    if decision.reason:
        _plain(console, [one_line(decision.reason)])
    for event in decision.events:
        body = event.body
        if isinstance(body, PromptEvent):
            _print_prompt(console, body)
        elif isinstance(body, ReplyEvent):
            _title(console, f"Reply ({_usage_text(body.usage)})")
            _plain(console, clean_lines(body.content))
        elif isinstance(body, StaticCheckEvent):
            _print_check(console, "Static check", body)
        elif isinstance(body, DryRunEvent):
            _print_check(console, "Dry run", body)
            _print_curves(console, body)
        elif isinstance(body, ErrorEvent | RollbackEvent):
            _title(console, body.kind.capitalize())
            said = body.message if isinstance(body, ErrorEvent) else body.reason
            _plain(console, [one_line(said)])
        elif isinstance(body, ApplyEvent):
            _print_apply(console, body)
        elif body is None:
            _title(console, f"{event.kind}, which cannot be read")
            _plain(console, [one_line(event.fault)])
    if decision.source is not None:
        _print_diff(console, decision.source, decision)


def _title(console: Console, text: str) -> None:
    console.print()
    console.print(Text(one_line(text), style="bold"), soft_wrap=True)


def _plain(console: Console, lines: Sequence[str]) -> None:
    for line in lines:
        say(console, line)


def _usage_text(usage: Mapping[str, float]) -> str:
    counted = sorted(usage.keys() - {"money"})
    counts = [f"{usage[name]} {name.replace('_', ' ')}" for name in counted]
    counts += [f"${usage['money']:.4f}"] if usage.get("money") else []
    return ", ".join(counts) or "no count of tokens"


def _print_prompt(console: Console, prompt: PromptEvent) -> None:
    """The messages that no earlier prompt held; the rest only counted."""
    messages, same = prompt.messages, prompt.same
    _title(console, f"Prompt ({len(messages)} messages, {same} of them told before)")
    for message in messages[same:]:
        console.print(Text(one_line(f"[{message.role}]"), style="cyan"))
        _plain(console, clean_lines(message.content))


def _print_check(
    console: Console, name: str, body: StaticCheckEvent | DryRunEvent
) -> None:
    verdict = "passed" if body.ok is True else "refused"
    _title(console, f"{name}: {verdict} {body.digest[:12]}")
    if not body.findings:
        return
    table = plain_table("")
    table.title = None
    table.add_column("line", justify="right")
    table.add_column("rule", no_wrap=True)
    table.add_column("found", ratio=2, overflow="fold")
    table.add_column("instead", ratio=1, overflow="fold")
    for found in body.findings:
        line = "" if found.line is None else str(found.line)
        texts = (line, found.rule, found.message, found.instead)
        table.add_row(*(Text(one_line(text)) for text in texts))
    console.print(table)


def _print_curves(console: Console, body: DryRunEvent) -> None:
    curves = (("proposal ", body.losses), ("incumbent", body.incumbent_losses))
    for name, losses in curves:
        if losses:
            _plain(console, [f"{name}  {' '.join(map(loss_text, losses))}"])


def _print_apply(console: Console, body: ApplyEvent) -> None:
    _title(console, f"Apply: {body.verdict} ({_usage_text(body.usage)})")
    before, after = list(body.learning_rates_before), list(body.learning_rates)
    if before and after:
        _plain(console, [f"learning rates {before} → {after}"])
    if body.carry is not None:
        for name, counts in asdict(body.carry).items():
            if counts:
                _plain(console, [one_line(f"{name}: {counts}")])


def _print_diff(console: Console, source: str, decision: DecisionStory) -> None:
    _title(console, "What changed in the source")
    if max(len(source), len(decision.incumbent or "")) > _LONGEST_COMPARED:
        _plain(console, ["too long to be compared; see sources/ of the run folder"])
        return
    lines = difflib.unified_diff(
        clean_lines(decision.incumbent or ""),
        clean_lines(source),
        decision.incumbent_digest[:12] or "base optimizer",
        decision.digest[:12],
        lineterm="",
    )
    print_diff(console, lines)


def print_diff(console: Console, lines: Iterable[str]) -> None:
    """A unified diff, its signs in colours."""
    for line in lines:
        console.print(Text(line, style=_STYLES.get(line[:1], "")), soft_wrap=True)
