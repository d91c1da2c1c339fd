"""`dux fuzz`: the laws of an optimizer, tried on files."""

from typing import Annotated

import typer

from dux_agent.cli.file_options import Beside, Classes, Given
from dux_agent.cli.one_line import one_line_errors


def fuzz(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...", help="Python files: every optimizer in them is tried."
        ),
    ],
    examples: Annotated[
        int, typer.Option(help="Cases drawn for each law; 0: those made by hand only.")
    ] = 50,
    skip: Annotated[
        list[str] | None, typer.Option(help="A law to leave out; may be given again.")
    ] = None,
    also: Annotated[
        list[str] | None,
        typer.Option(help="An optional law to try; may be given again."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of what is drawn.")] = 0,
    names: Classes = None,
    beside: Beside = None,
    options: Given = None,
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
        from dux_agent.checking.fuzzing import LawsAsked
        from dux_agent.terminal.fuzz_display import fuzz_files

        asked = LawsAsked(examples, skip or [], also or [], seed)
        asked.check(mark="--")
        if not fuzz_files(
            files,
            asked,
            as_json=as_json,
            names=names or [],
            beside=beside or [],
            options=options or [],
            golden=golden,
        ):
            raise typer.Exit(1)
