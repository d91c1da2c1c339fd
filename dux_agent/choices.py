"""The arguments of `attach` that are one of a few words, and the words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

from dux_agent.errors import BadArgument
from dux_sandbox.executions import AUTO, EXECUTIONS, choose

if TYPE_CHECKING:
    import torch

Accept = Literal["harmless", "finite", "not_worse"]
CarryOver = Literal["asked", "always", "never"]
History = Literal["chat", "compressed", "best"]
LrOwner = Literal["proposal", "scheduler"]
Place = Literal["device", "host", "off"]
Reasoning = Literal["first", "none"]
Vocabulary = Literal["short", "full"]

_CHOICES: dict[str, tuple[str, ...]] = {
    "accept": get_args(Accept),
    "lr_owner": get_args(LrOwner),
    "history": get_args(History),
    "reasoning": get_args(Reasoning),
    "vocabulary": get_args(Vocabulary),
    "carry_over": get_args(CarryOver),
    "snapshots": get_args(Place),
}


def choices(argument: str) -> tuple[str, ...]:
    """The words that an argument may be: "execution" any kind that there is."""
    return (AUTO, *EXECUTIONS) if argument == "execution" else _CHOICES[argument]


def chosen_execution(wanted: Any, parameters: Sequence[torch.Tensor]) -> str:
    """The name of the kind of execution for `wanted`, "auto" resolved.

    Raises:
        BadArgument: there is none.
    """
    try:
        return choose(wanted, parameters).name
    except ValueError as error:
        raise BadArgument(str(error)) from None
