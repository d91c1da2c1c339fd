"""What `dux fuzz` shows: a bar while the laws are tried, then what came of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from dux_agent.showing import one_line
from dux_agent.terminal.decision_text import clean_lines

if TYPE_CHECKING:
    from collections.abc import Callable

    from dux_agent.terminal.fuzzing import Fuzzed
    from dux_sandbox.laws import LawResult


@contextmanager
def progress(
    console: Console, file: str, laws: int
) -> Iterator[Callable[[LawResult], None]]:
    """A bar that moves on with each law; goes away when it is over."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("laws"),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(escape(one_line(file)), total=laws)
        yield lambda _: bar.advance(task)


def print_fuzzed(console: Console, fuzzed: Fuzzed) -> None:
    """One file: what was not simply kept, each law in a line, and the scripts.

    Laws that were not judged for one reason share a line.
    """
    kept = sum(result.verdict in ("kept", "relaxed") for result in fuzzed.results)
    verdict = "[green]lawful[/]" if fuzzed.ok else "[red]broken[/]"
    head = Text.from_markup("[red]refused[/]" if fuzzed.findings else verdict)
    name = fuzzed.file if fuzzed.rule is None else f"{fuzzed.file} {fuzzed.rule}"
    head.append(f"  {one_line(name)}")
    if fuzzed.results:
        head.append(f"  {kept} of {len(fuzzed.results)} laws are kept")
    if fuzzed.unjudged:
        head.append(f", {len(fuzzed.unjudged)} not judged")
    if fuzzed.traits:
        head.append(f"  (declares {one_line(', '.join(fuzzed.traits))})")
    console.print(head, soft_wrap=True)
    for finding in fuzzed.findings:
        _say(console, f"  {one_line(str(finding))}")
    if fuzzed.golden is not None:
        _say(console, f"  golden: {one_line(fuzzed.golden.message)}")
    for result in fuzzed.results:
        if result.verdict in ("broken", "relaxed"):
            _say(console, f"  {result.name}: {one_line(result.message)}")
    unjudged: dict[str, list[str]] = {}
    for result in fuzzed.results:
        if result.verdict == "unjudged":
            unjudged.setdefault(result.message, []).append(result.name)
    for message, names in unjudged.items():
        _say(console, f"  {', '.join(names)}: {one_line(message)}")
    for result in fuzzed.results:
        if result.example and not result.ok:
            _say(console, f"\n# --- {result.name}: {one_line(result.message)}")
            _say(console, "\n".join(clean_lines(result.example)))


def _say(console: Console, text: str) -> None:
    console.print(Text(text), soft_wrap=True)
