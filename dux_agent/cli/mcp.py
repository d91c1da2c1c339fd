"""`dux mcp`: the other commands as tools for coding agents."""

from importlib.util import find_spec
from typing import Annotated

import typer

from dux_agent.cli.one_line import one_line_errors
from dux_agent.errors import MissingExtra


def mcp(
    root: Annotated[
        str,
        typer.Option(metavar="DIR", help="The folder under which files may be named."),
    ] = ".",
) -> None:
    """Serve check, fuzz, trace and report to a coding agent, over stdin and stdout.

    The protocol is MCP. Whoever starts this command is its only client: it listens
    nowhere. Sources run in a locked-down process, as with `dux check` and `dux fuzz`.
    """
    with one_line_errors():
        from dux_agent.tool_server.answers import Answers
        from dux_agent.tool_server.places import Places

        if find_spec("mcp") is None:
            raise MissingExtra.of("mcp", extra="mcp", purpose="dux mcp")
        from dux_agent.tool_server.server import serve

        serve(Answers(Places(root)))
