"""`dux experience`: what is in a library, and how a person changes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from dux_agent.cli.one_line import one_line_errors
from dux_agent.showing import one_line

if TYPE_CHECKING:
    from dux_agent.experience.entry import Entry

experience = typer.Typer(
    no_args_is_help=True,
    help="What runs have taught: the library that dux learn makes.",
    epilog="Example:  dux experience list experience.sqlite",
)

_File = Annotated[Path, typer.Argument(metavar="FILE", help="The library.")]
_Key = Annotated[
    str, typer.Argument(metavar="KEY", help="Of the entry, or its beginning.")
]


@experience.command("list", epilog="Example:  dux experience list experience.sqlite")
def list_entries(file: _File) -> None:
    """The entries of a library, by what came of them."""
    with one_line_errors():
        from dux_agent.experience.library import read_library
        from dux_agent.terminal.tables import plain_table, verdict_text
        from dux_prompts.experience import outcome_words, proposed_words

        entries = read_library(file)
        table = plain_table(f"{len(entries)} entries")
        table.add_column("key", no_wrap=True)
        table.add_column("run", ratio=2, overflow="fold")
        table.add_column("proposed", ratio=3, overflow="fold")
        table.add_column("what came of it", ratio=3, overflow="fold")
        for each in sorted(entries, key=lambda e: (e.origin, e.run, e.decision, e.key)):
            told = each.as_dict()
            came = verdict_text(each.verdict.replace("_", " "))
            came.append(outcome_words(told).removeprefix(came.plain))
            run = f"{each.origin} {each.decision}"
            table.add_row(each.key[:8], Text(run), Text(proposed_words(told)), came)
        Console().print(table)


@experience.command(epilog="Example:  dux experience show experience.sqlite 3f9a0b12")
def show(file: _File, key: _Key) -> None:
    """One entry whole: where, what, what came of it, the lesson, the source."""
    with one_line_errors():
        from dux_agent.experience.library import entry_of

        _print(entry_of(file, key))


@experience.command(
    epilog="Example:  dux experience edit experience.sqlite 3f9a0b12 'Too fast.'"
)
def edit(
    file: _File,
    key: _Key,
    lesson: Annotated[str, typer.Argument(help="What it teaches, in a sentence.")],
) -> None:
    """Write the lesson of an entry; learning its run again does not change it."""
    with one_line_errors():
        from dux_agent.experience.library import edit_lesson

        _print(edit_lesson(file, key, lesson))


@experience.command(epilog="Example:  dux experience delete experience.sqlite 3f9a0b12")
def delete(
    file: _File,
    keys: Annotated[
        list[str],
        typer.Argument(metavar="KEY...", help="Of entries, or their beginnings."),
    ],
) -> None:
    """Take entries out; learning their run again does not bring them back."""
    with one_line_errors():
        from dux_agent.experience.library import delete_entries

        for entry in delete_entries(file, keys):
            typer.echo(f"deleted {entry.key}: {one_line(entry.proposed)}")


@experience.command(
    epilog="Example:  dux experience export experience.sqlite -o a.jsonl"
)
def export(
    file: _File,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="A file instead of standard output.", metavar="FILE"
        ),
    ] = None,
) -> None:
    """The entries as JSON, one a line."""
    with one_line_errors():
        from dux_agent.experience.library import read_library
        from dux_agent.run_folder.whole_file import write_whole

        lines = [json.dumps(each.as_dict()) + "\n" for each in read_library(file)]
        if output is None:
            typer.echo("".join(lines), nl=False)
        else:
            write_whole(output, "".join(lines), what="the entries", option="--output")


def _print(entry: Entry) -> None:
    from dux_prompts.experience import outcome_words, proposed_words, situation_words

    told = entry.as_dict()
    rows = {
        "key": entry.key,
        "run": f"{entry.origin}, decision {entry.decision}",
        "situation": situation_words(told["situation"]),
        "proposed": proposed_words(told),
        "source": entry.digest,
        "came of it": outcome_words(told),
        f"lesson, by {entry.written_by}": entry.lesson,
    }
    for name, value in rows.items():
        typer.echo(f"{name}: {one_line(value)}")
    # Line by line: what a stranger wrote must not act on the terminal.
    for text in entry.source.splitlines():
        indent = len(text) - len(text.lstrip(" "))
        typer.echo(" " * min(indent, 200) + one_line(text))
