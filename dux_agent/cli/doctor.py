"""`dux doctor`: which layers of the jail hold here."""

import typer
from rich.console import Console

from dux_agent.cli.one_line import one_line_errors
from dux_agent.errors import DuxError


def doctor() -> None:
    """Show which layers of the jail hold on this system, and see what they deny.

    Everything that a rule's process may not do is tried in one, and in a process
    without the layers, where it should work. Exit code 1 if any of it works in a
    rule's process.
    """
    with one_line_errors():
        from dux_agent.terminal.jail_text import print_jail
        from dux_sandbox.findings import RuleFailed
        from dux_sandbox.process.spawning import IsolationUnavailable
        from dux_sandbox.process.witnessing import witness

        try:
            seen = witness()
        except (IsolationUnavailable, RuleFailed) as error:
            raise DuxError(str(error)) from None
        print_jail(Console(), seen)
        if any(one.inside for one in seen.tried):
            raise typer.Exit(1)
