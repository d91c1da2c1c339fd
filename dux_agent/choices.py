"""The arguments of `attach` that are one of a few words, and the words."""

from __future__ import annotations

from typing import Literal, get_args

Accept = Literal["harmless", "finite", "not_worse"]
CarryOver = Literal["asked", "always", "never"]
Execution = Literal["auto", "isolated", "inline"]
History = Literal["chat", "compressed"]
LrOwner = Literal["proposal", "scheduler"]
Place = Literal["device", "host", "off"]
Vocabulary = Literal["short", "full"]

CHOICES: dict[str, tuple[str, ...]] = {
    "accept": get_args(Accept),
    "execution": get_args(Execution),
    "lr_owner": get_args(LrOwner),
    "history": get_args(History),
    "vocabulary": get_args(Vocabulary),
    "carry_over": get_args(CarryOver),
    "snapshots": get_args(Place),
}
