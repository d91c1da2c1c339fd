"""`dux check`: optimizers in files from anywhere, judged."""

import json
import os
from typing import Annotated

import typer
from rich.console import Console

from dux_agent.cli.file_options import Beside, Classes, Given
from dux_agent.cli.one_line import one_line_errors


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
    names: Classes = None,
    beside: Beside = None,
    options: Given = None,
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
            options=options or [],
            trial=trial,
            rewrite=rewrite,
        )
        if as_json:
            record = plain([one.as_dict() for one in vetted])
            typer.echo(json.dumps(record, indent=2, allow_nan=False))
        else:
            from dux_agent.terminal.check_text import print_checked

            print_checked(Console(), vetted, summary=any(map(os.path.isdir, files)))
        if not all(one.settled for one in vetted):
            raise typer.Exit(1)
