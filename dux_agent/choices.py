"""The arguments of `attach` that are one of a few words, and the words."""

from __future__ import annotations

from typing import Literal, get_args

from dux_sandbox.executions import AUTO, EXECUTIONS

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
