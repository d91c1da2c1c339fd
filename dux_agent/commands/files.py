"""`dux check` and `dux fuzz`: optimizers in files from anywhere."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console

from dux_agent.commands.one_line import one_line_errors


def check(
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE...", help="Python files, one rule each."),
    ],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON list instead of a table.")
    ] = False,
    static: Annotated[
        bool, typer.Option("--static", help="Only read the source; run nothing.")
    ] = False,
) -> None:
    """Vet optimizers: a static check, then a dry run in a locked-down process.

    Exit code 0: all are accepted; 1: at least one is refused; 2: a file cannot be
    read.
    """
    with one_line_errors():
        from dux_agent.checking.vetting import read_source, vet
        from dux_agent.trace import plain

        # All are read before the first is tried: one wrong name costs no waiting.
        sources = [(file, read_source(file)) for file in files]
        vetted = [vet(file, source, static=static) for file, source in sources]
        if as_json:
            held = plain([one.as_dict() for one in vetted])
            typer.echo(json.dumps(held, indent=2, allow_nan=False))
        else:
            from dux_agent.terminal.report_text import print_vetted

            print_vetted(Console(), vetted)
        if not all(one.ok for one in vetted):
            raise typer.Exit(1)


def fuzz(
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE...", help="Python files, one rule each."),
    ],
    examples: Annotated[
        int,
        typer.Option(help="Cases drawn for each law; 0: those made by hand only."),
    ] = 50,
    skip: Annotated[
        list[str] | None,
        typer.Option(help="A law to leave out; may be given again."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of what is drawn.")] = 0,
    golden: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Fifty steps on three problems: recorded there, or compared.",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON list instead of text.")
    ] = False,
) -> None:
    """Try the laws of an optimizer on files, in a locked-down process.

    Exit code 0: every law is kept; 1: one is broken, and a script shows how, or a step
    is not the golden one; 2: a file cannot be read, or an argument cannot be meant.
    """
    with one_line_errors():
        from dux_agent.terminal.fuzzing import check_laws_named, fuzz_files

        check_laws_named(examples, skip or [], mark="--")
        if not fuzz_files(
            files, examples, skip or [], seed, as_json=as_json, golden=golden
        ):
            raise typer.Exit(1)
