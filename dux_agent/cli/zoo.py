"""`dux zoo`: optimizers of the literature as sources."""

from __future__ import annotations

import difflib
import json
import os
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from dux_agent.cli.one_line import one_line_errors
from dux_agent.errors import BadArgument

if TYPE_CHECKING:
    from dux_sandbox.zoo import Entry

zoo = typer.Typer(
    no_args_is_help=True,
    help="Optimizers of the literature, written from their papers as sources.",
    epilog="Example:  dux zoo show lion",
)


@zoo.command("list", epilog="Example:  dux zoo list --json")
def list_entries(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON list instead of a table.")
    ] = False,
) -> None:
    """What is there, with the state that each keeps; then what no rule can be."""
    from dux_sandbox.zoo import NOT_EXPRESSIBLE, entries

    if as_json:
        shown = [
            {
                "name": each.name,
                "class": each.rule,
                "title": each.title,
                "formula": each.formula,
                "notes": each.notes,
                "paper": each.paper,
                "state": each.state,
                "traits": sorted(each.traits),
            }
            for each in entries().values()
        ]
        typer.echo(json.dumps(shown, indent=2))
        return
    from dux_agent.terminal.tables import plain_table

    table = plain_table("Optimizers")
    table.add_column("name", no_wrap=True)
    table.add_column("what it does", ratio=3, overflow="fold")
    table.add_column("state", ratio=2, overflow="fold")
    for each in entries().values():
        table.add_row(each.name, Text(each.title), Text(each.state))
    console = Console()
    console.print(table)
    for missing in NOT_EXPRESSIBLE:
        console.print(Text(f"not expressible: {missing.title}: {missing.reason}"))


@zoo.command(epilog="Example:  dux zoo show muon > muon.py")
def show(
    names: Annotated[
        list[str], typer.Argument(metavar="NAME...", help="As `dux zoo list` has it.")
    ],
) -> None:
    """Print sources: each is a whole file, for an editor, `dux check` or a prompt."""
    with one_line_errors():
        typer.echo("\n\n".join(each.source.rstrip("\n") for each in _meant(names)))


@zoo.command(epilog="Example:  dux zoo check lion tiger --examples 20")
def check(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME...]", help="Without a name: all of them."),
    ] = None,
    examples: Annotated[
        int,
        typer.Option(help="Cases drawn for each law; 0: those made by hand only."),
    ] = 0,
) -> None:
    """Judge them as `dux check` does, then try the laws.

    Exit code 0: all are accepted and keep every law; 1: one does not.
    """
    with one_line_errors():
        from dux_agent.checking.fuzzing import LawsAsked
        from dux_agent.checking.paths import check_paths
        from dux_agent.terminal.check_text import print_checked
        from dux_agent.terminal.fuzz_display import fuzz_files
        from dux_sandbox.zoo import entries

        asked = LawsAsked(examples)
        asked.check(mark="--")
        files = [each.file for each in _meant(names or list(entries()))]
        vetted = check_paths(files)
        print_checked(Console(), vetted, summary=False)
        lawful = fuzz_files(files, asked, as_json=False)
        if not lawful or not all(each.settled for each in vetted):
            raise typer.Exit(1)


@zoo.command(epilog="Example:  dux zoo diff adam adamw")
def diff(
    before: Annotated[str, typer.Argument(metavar="NAME|FILE", help="The one.")],
    after: Annotated[str, typer.Argument(metavar="NAME|FILE", help="The other.")],
) -> None:
    """Show how two sources differ: of the zoo, or in files of yours.

    Exit code 0: they are the same; 1: they differ.
    """
    with one_line_errors():
        (name, old), (other, new) = _text(before), _text(after)
        lines = list(
            difflib.unified_diff(
                old.splitlines(), new.splitlines(), name, other, lineterm=""
            )
        )
        for line in lines:
            typer.echo(line)
        if lines:
            raise typer.Exit(1)


def _meant(names: list[str]) -> list[Entry]:
    """The entries of these names; a name that is none ends in one line."""
    from dux_sandbox.zoo import UnknownEntry, entry

    try:
        return [entry(name) for name in names]
    except UnknownEntry as error:
        raise BadArgument(str(error)) from None


def _text(named: str) -> tuple[str, str]:
    """What a name of the zoo or a file stands for: how it is called, and its source."""
    if os.path.isfile(named):
        from dux_agent.checking.vetting import read_source

        return named, read_source(named)
    [found] = _meant([named])
    return f"zoo/{found.name}.py", found.source
