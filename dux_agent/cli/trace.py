"""`dux trace`: the decisions of a run folder."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from dux_agent.cli.one_line import one_line_errors
from dux_agent.errors import BadArgument


def trace(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A run folder.")],
    decision: Annotated[
        int | None,
        typer.Option(
            help="Only this one: prompt, reply, findings, curves, diff; of a study "
            "this trial."
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead of tables.")
    ] = False,
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on showing until the run ends.")
    ] = False,
) -> None:
    """Show the decisions of a run folder as a table."""
    with one_line_errors():
        from dux_agent.evolving.reading import refuse_search
        from dux_agent.tuning.recorded_study import is_study

        refuse_search(folder)
        if is_study(folder):
            if follow:
                raise BadArgument(
                    f"--follow was given and {folder} holds a study; a training was "
                    f"wanted, which it follows; leave it out."
                )
            from dux_agent.terminal.study_text import show_study

            show_study(Console(), folder, trial=decision, as_json=as_json)
            return
        from dux_agent.terminal.tracing import show

        show(Console(), folder, decision=decision, as_json=as_json, live=follow)
