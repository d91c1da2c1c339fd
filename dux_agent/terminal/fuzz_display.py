"""What `dux fuzz` shows: a bar while the laws are tried, then what came of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

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
        task = bar.add_task(Text(file).plain.replace("[", "\\["), total=laws)
        yield lambda _: bar.advance(task)


def print_fuzzed(console: Console, fuzzed: Fuzzed) -> None:
    """One file: a line for each law that is broken or relaxed, and the scripts."""
    kept = sum(result.ok for result in fuzzed.results)
    verdict = "[green]lawful[/]" if fuzzed.ok else "[red]broken[/]"
    head = Text.from_markup(verdict)
    head.append(f"  {fuzzed.file}  {kept} of {len(fuzzed.results)} laws are kept")
    if fuzzed.traits:
        head.append(f"  (declares {', '.join(fuzzed.traits)})")
    console.print(head, soft_wrap=True)
    for finding in fuzzed.findings:
        console.print(Text(f"  {finding}"), soft_wrap=True)
    for result in fuzzed.results:
        if not result.ok:
            console.print(Text(f"  {result.name}: {result.message}"), soft_wrap=True)
        elif result.message.startswith("relaxed"):
            console.print(Text(f"  {result.name}: {result.message}"), soft_wrap=True)
    for result in fuzzed.results:
        if result.example and not result.ok:
            console.print(Text(f"\n# --- {result.name}: {result.message}"))
            console.print(Text(result.example), soft_wrap=True)
