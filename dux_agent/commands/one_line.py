"""Errors that a user can mend: one line on stderr, and an exit code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from dux_agent.errors import DuxError


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Exit code 2 for what a user can mend, 130 for Ctrl-C; never a traceback."""
    try:
        yield
    except DuxError as error:
        typer.echo(f"dux: {error}", err=True)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        typer.echo("dux: interrupted; what was recorded so far is kept.", err=True)
        raise typer.Exit(130) from None
