"""`dux learn`: run folders into a library of experience."""

from pathlib import Path
from typing import Annotated

import typer

from dux_agent.cli.one_line import one_line_errors
from dux_agent.showing import one_line


def learn(
    folders: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN_DIR...", help="Folders of dux run, attach or dux evolve."
        ),
    ],
    library: Annotated[
        Path, typer.Option(help="The file, which is made where it is missing.")
    ] = Path("experience.sqlite"),
    lm: Annotated[
        str | None,
        typer.Option(
            help="The language model that writes each lesson, as dux run names it.",
            show_default="the rules write it",
        ),
    ] = None,
) -> None:
    """Learn from runs: what was proposed in which situation, and what came of it.

    The same run again adds nothing. See dux experience for what is in the library;
    dux run and dux evolve show it to the model with --experience.
    """
    with one_line_errors():
        from dux_agent.learning.learn import learn as learn_from

        learn_from(folders, library, lm=lm, say=lambda line: typer.echo(one_line(line)))
