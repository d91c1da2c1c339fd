"""What stands on a command line, as against what was left out."""

from collections.abc import Collection
from typing import Any

import typer

from dux_agent.errors import BadArgument


def given(context: typer.Context) -> dict[str, Any]:
    """The arguments that stand on the command line, by name."""
    return {
        name: value
        for name, value in context.params.items()
        if getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE"
    }


def refuse_beside_resume(context: typer.Context, but: Collection[str]) -> None:
    """Say of an option that it cannot be told anew to what is gone on with.

    Args:
        but: names of those that can.

    Raises:
        BadArgument: there is one.
    """
    others = [name for name in given(context) if name not in {"resume", *but}]
    if not others:
        return
    shown = {each.name: max(each.opts, key=len) for each in context.command.params}
    raise BadArgument(
        f"{', '.join(shown[name] for name in others)} was given with --resume; nothing "
        f"that was settled when it began was wanted; leave it out, or begin anew "
        f"without --resume."
    )
