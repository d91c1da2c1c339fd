"""Errors that a user can mend: one line on stderr, and an exit code."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from dux_agent.errors import DuxError
from dux_agent.showing import one_line


class _OneLine(logging.Formatter):
    """A warning as a terminal may show it: it may quote what a model wrote."""

    def format(self, record: logging.LogRecord) -> str:
        return one_line(super().format(record))


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Exit code 2 for what a user can mend, 130 for Ctrl-C; never a traceback."""
    before = logging.lastResort
    # Only what nobody else handles: whoever set logging up gets it as it is.
    logging.lastResort = logging.StreamHandler()
    logging.lastResort.setLevel(logging.WARNING)
    logging.lastResort.setFormatter(_OneLine())
    try:
        yield
    except DuxError as error:
        typer.echo(f"dux: {error}", err=True)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        typer.echo("dux: interrupted; what was recorded so far is kept.", err=True)
        raise typer.Exit(130) from None
    finally:
        logging.lastResort = before
