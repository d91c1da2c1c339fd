"""Which tasks a table is of, and from which seeds."""

import os
from collections.abc import Sequence
from typing import get_args

from dux_agent.tasks.family.members import Purpose, names_for
from dux_agent.tasks.named import builder_of

_SEEDS, _OF_SINE = 3, 5
_PURPOSES: tuple[Purpose, ...] = get_args(Purpose)


def tasks_of(
    written: str | None, *, quick: bool = False, seeds: int | None = None
) -> dict[str, Sequence[int]]:
    """Tasks, each with its seeds.

    Args:
        written: names with commas; "family", or "train", "validation" or "test" of it,
            stand for all of its tasks. None: digits, sine, and where DUX_DATA is set
            mnist and imdb; and the family.
        quick: without the family.
        seeds: how many of each; None: 3, and 5 of sine, whose spread is wide.

    Raises:
        BadArgument: there is no task of that name.
    """
    names = ["mnist", "sine", "imdb", "digits"]
    if not os.environ.get("DUX_DATA"):
        names = ["sine", "digits"]
    if not quick:
        names.append("family")
    if written is not None:
        names = written.split(",")
    found: dict[str, Sequence[int]] = {}
    for name in names:
        for task in _expanded(name):
            builder_of(task)  # before hours are spent on others
            found[task] = range(seeds or (_OF_SINE if task == "sine" else _SEEDS))
    return found


def _expanded(name: str) -> list[str]:
    if name == "family":
        return [task for purpose in _PURPOSES for task in names_for(purpose)]
    if name in _PURPOSES:
        return names_for(name)
    return [name]
