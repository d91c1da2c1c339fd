"""The arguments of `attach` that are one of a few words, a switch, or a function."""

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


def check_switch(name: str, value: Any) -> None:
    """Raise BadArgument unless `value` is True or False."""
    if not isinstance(value, bool):
        raise BadArgument(
            f"{name} is {value!r:.80}; True or False was wanted; pass one of them."
        )


def chosen_execution(wanted: Any, parameters: Sequence[torch.Tensor]) -> str:
    """The name of the kind of execution for `wanted`, "auto" resolved.

    Raises:
        BadArgument: there is none.
    """
    try:
        return choose(wanted, parameters).name
    except ValueError as error:
        raise BadArgument(str(error)) from None


def same_execution(chosen: Sequence[str], wanted: Any) -> str:
    """The kind for all ranks, of what each has chosen for `wanted`.

    The same rule gives weights of other bits where it is isolated, and a rank without
    a compiler may have chosen that.
    """
    return "isolated" if len(set(chosen)) > 1 and wanted == AUTO else chosen[0]


def check_objective(objective: object) -> None:
    """Raise BadArgument unless the objective can be called."""
    if not callable(objective):
        raise BadArgument(
            f"objective is a {type(objective).__name__}; a callable (model, batch) -> "
            f"loss was wanted; pass for instance "
            f"lambda model, batch: loss(model(batch[0]), batch[1])."
        )
