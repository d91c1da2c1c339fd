"""`dux doctor` and `dux bench`: what this machine holds and how fast it is."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from dux_agent.benchmarks import BENCHMARKS
from dux_agent.commands.one_line import one_line_errors
from dux_agent.errors import DuxError


def doctor() -> None:
    """Show which layers of the jail hold on this system, and what each costs."""
    with one_line_errors():
        from dux_agent.terminal.report_text import print_layers
        from dux_sandbox.process.spawning import IsolationUnavailable, zygote

        try:
            found = zygote().layers()
        except IsolationUnavailable as error:
            raise DuxError(str(error)) from None
        print_layers(Console(), found)


def bench(
    name: Annotated[
        str | None,
        typer.Argument(
            help=f"One of {', '.join(BENCHMARKS)}.", show_default="all of them"
        ),
    ] = None,
) -> None:
    """Run the benchmarks; exit code 1 if a bar is missed."""
    with one_line_errors():
        from dux_agent.benchmarks import run_benchmarks

        if not run_benchmarks(name, Console()):
            raise typer.Exit(1)
