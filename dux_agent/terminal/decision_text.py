"""One decision in the terminal: what was said, found, tried, and what changed."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from dux_agent.formatting import loss_text
from dux_agent.run_history.records import DecisionStory
from dux_agent.run_history.values import number
from dux_agent.showing import one_line
from dux_agent.terminal.tables import plain_table, verdict_text

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
        told = event.data
        if event.kind == "prompt":
            _print_prompt(console, told)
        elif event.kind == "reply":
            _title(console, f"Reply ({_usage_text(told.get('usage'))})")
            _plain(console, clean_lines(str(told.get("content", ""))))
        elif event.kind == "static_check":
            _print_check(console, "Static check", told)
        elif event.kind == "dry_run":
            _print_check(console, "Dry run", told)
            _print_curves(console, told)
        elif event.kind in ("error", "rollback"):
            said = told.get("message") or told.get("reason") or ""
            _title(console, event.kind.capitalize())
            _plain(console, [one_line(str(said))])
        elif event.kind == "apply":
            _print_apply(console, told)
    if decision.source is not None:
        _print_diff(console, decision.source, decision)


def _title(console: Console, text: str) -> None:
    console.print()
    console.print(Text(one_line(text), style="bold"), soft_wrap=True)


def _plain(console: Console, lines: Sequence[str]) -> None:
    for line in lines:
        console.print(Text(line), soft_wrap=True)


def _usage_text(usage: Any) -> str:
    if not isinstance(usage, dict):
        return "no count of tokens"
    told = [f"{usage[name]} {name.replace('_', ' ')}" for name in sorted(usage)]
    return ", ".join(told) or "no count of tokens"


def _print_prompt(console: Console, told: dict[str, Any]) -> None:
    """The messages that no earlier prompt held; the rest only counted."""
    messages = told.get("messages")
    messages = messages if isinstance(messages, list) else []
    same = told.get("same")
    same = same if isinstance(same, int) else 0
    _title(console, f"Prompt ({len(messages)} messages, {same} of them told before)")
    for message in messages[same:]:
        if isinstance(message, dict):
            console.print(Text(one_line(f"[{message.get('role')}]"), style="cyan"))
            _plain(console, clean_lines(str(message.get("content", ""))))


def _print_check(console: Console, name: str, told: dict[str, Any]) -> None:
    verdict = "passed" if told.get("ok") is True else "refused"
    _title(console, f"{name}: {verdict} {str(told.get('digest', ''))[:12]}")
    findings = told.get("findings")
    if not isinstance(findings, list) or not findings:
        return
    table = plain_table("")
    table.title = None
    table.add_column("line", justify="right")
    table.add_column("rule", no_wrap=True)
    table.add_column("found", ratio=2, overflow="fold")
    table.add_column("instead", ratio=1, overflow="fold")
    for finding in findings:
        if isinstance(finding, dict):
            line = finding.get("line")
            table.add_row(
                "" if line is None else Text(one_line(str(line))),
                *(
                    Text(one_line(str(finding.get(key, ""))))
                    for key in ("rule", "message", "instead")
                ),
            )
    console.print(table)


def _print_curves(console: Console, told: dict[str, Any]) -> None:
    for key, name in (("losses", "proposal "), ("incumbent_losses", "incumbent")):
        losses = told.get(key)
        if isinstance(losses, list) and losses:
            shown = " ".join(loss_text(number(loss)) for loss in losses)
            _plain(console, [one_line(f"{name}  {shown}")])


def _print_apply(console: Console, told: dict[str, Any]) -> None:
    _title(console, f"Apply: {told.get('verdict')} ({_usage_text(told.get('usage'))})")
    rates = told.get("learning_rates_before"), told.get("learning_rates")
    if all(isinstance(rate, list) for rate in rates):
        _plain(console, [one_line(f"learning rates {rates[0]} → {rates[1]}")])
    carry = told.get("carry")
    if isinstance(carry, dict):
        for name in ("carried", "dropped"):
            if carry.get(name):
                _plain(console, [one_line(f"{name}: {carry[name]}")])


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
    for line in lines:
        console.print(Text(line, style=_STYLES.get(line[:1], "")), soft_wrap=True)
