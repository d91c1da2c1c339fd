"""`dux check` and `dux fuzz`: optimizers in files from anywhere."""

from __future__ import annotations

import json
import os
from typing import Annotated

import typer
from rich.console import Console

from dux_agent.cli.one_line import one_line_errors

_Classes = Annotated[
    list[str] | None,
    typer.Option(
        "--class", metavar="NAME", help="Only this class; may be given again."
    ),
]
_Beside = Annotated[
    list[str] | None,
    typer.Option(
        "--with",
        metavar="FILE|DIR",
        help="A file that is imported, or a folder of them: what is used is judged "
        "together, as one source; may be given again.",
    ),
]


def check(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE|DIR...",
            help="Python files, or folders of them: every optimizer in them is judged.",
        ),
    ],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON list instead of a table.")
    ] = False,
    static: Annotated[
        bool, typer.Option("--static", help="Only read the source; run nothing.")
    ] = False,
    names: _Classes = None,
    beside: _Beside = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="MODULE:FUNCTION",
            help="Try it on the model that this function of yours returns.",
        ),
    ] = None,
    rewrite: Annotated[
        bool,
        typer.Option(
            "--fix",
            help="Write FILE.fixed.py, which is accepted and takes the same steps.",
        ),
    ] = False,
) -> None:
    """Vet optimizers: a static check, then a dry run in a locked-down process.

    Exit code 0: all are accepted, as they are or by --fix; 1: at least one is refused;
    2: a file cannot be read, or an argument cannot be meant.
    """
    with one_line_errors():
        from dux_agent.checking.paths import check_paths
        from dux_agent.run_folder.trace import plain

        trial = None
        if model is not None:
            from dux_agent.checking.own_model import model_for

            trial = model_for(model, static=static)
        vetted = check_paths(
            files,
            static=static,
            names=names or [],
            beside=beside or [],
            trial=trial,
            rewrite=rewrite,
        )
        if as_json:
            held = plain([one.as_dict() for one in vetted])
            typer.echo(json.dumps(held, indent=2, allow_nan=False))
        else:
            from dux_agent.terminal.check_text import print_checked

            print_checked(Console(), vetted, summary=any(map(os.path.isdir, files)))
        if not all(one.settled for one in vetted):
            raise typer.Exit(1)


def fuzz(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...", help="Python files: every optimizer in them is tried."
        ),
    ],
    examples: Annotated[
        int,
        typer.Option(help="Cases drawn for each law; 0: those made by hand only."),
    ] = 50,
    skip: Annotated[
        list[str] | None,
        typer.Option(help="A law to leave out; may be given again."),
    ] = None,
    also: Annotated[
        list[str] | None,
        typer.Option(help="An optional law to try; may be given again."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of what is drawn.")] = 0,
    names: _Classes = None,
    beside: _Beside = None,
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
        from dux_agent.terminal.fuzz_display import fuzz_files
        from dux_agent.terminal.fuzzing import check_laws_named

        check_laws_named(examples, skip or [], also or [], mark="--")
        if not fuzz_files(
            files,
            examples,
            skip or [],
            also or [],
            seed,
            as_json=as_json,
            names=names or [],
            beside=beside or [],
            golden=golden,
        ):
            raise typer.Exit(1)
