"""The options of `dux run`, made from the table in `dux_agent.runs.plan`."""

from collections.abc import Callable, Mapping
from inspect import Parameter, Signature, signature
from typing import Annotated, Any

import typer

from dux_agent.runs.options import Line
from dux_agent.runs.plan import OPTIONS


def with_plan_options(command: Callable[..., None]) -> Callable[..., None]:
    """The command with an option for each line of the table.

    Args:
        command: takes them as `**options`; they come before its own options, and after
            what it has without a default or as an argument.
    """
    own = [
        each
        for each in signature(command, eval_str=True).parameters.values()
        if each.kind is not Parameter.VAR_KEYWORD
    ]
    after = 1 + [each.name for each in own].index("task")
    made = [_parameter(line) for line in OPTIONS.values()]
    command.__signature__ = Signature(  # type: ignore[attr-defined]
        [*own[:after], *made, *own[after:]]
    )
    return command


def of_plan(given: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the arguments of such a command that are a plan's, by its names."""
    called = {_called(line): name for name, line in OPTIONS.items()}
    return {called[name]: value for name, value in given.items() if name in called}


def _called(line: Line) -> str:
    return line.option.called or line.name


def _parameter(line: Line) -> Parameter:
    option = line.option
    kind: Any = str if option.read else line.kinds[0]
    if option.many:
        kind = list[str]
    # A switch has no form to say that it is off: it is off where it is left out.
    names = [line.flag] if kind is bool else []
    info = typer.Option(
        *names,
        help=option.help,
        metavar=f"[{'|'.join(option.choices)}]" if option.choices else None,
        show_default=option.unset or True,
    )
    annotation = kind | None if line.default is None else kind
    return Parameter(
        _called(line),
        Parameter.KEYWORD_ONLY,
        default=line.default,
        annotation=Annotated[annotation, info],
    )
