"""The options of all groups, taken apart: numbers at the leaves, and the rest."""

from __future__ import annotations

import json
from typing import Any

import torch

from dux_sandbox.recorded.program import Place
from dux_sandbox.recorded.trees import PuttingTogether, TakenApart, renumbered
from dux_sandbox.replaying.kept import Type, leaves_in
from dux_sandbox.values import ValueRefused


class OptionLeaves:
    """The options of all groups, taken apart as `KeptTree` is.

    Attributes:
        values: by place, each number.
        key: as of `KeptTree`.
    """

    def __init__(self, options: list[dict[str, Any]]) -> None:
        """Take them apart.

        Raises:
            ValueRefused: a group holds what is no plain data.
        """
        apart = TakenApart()
        for index, group in enumerate(options):
            for name, value in group.items():
                apart.add(("option", index, name), value)
        if any(isinstance(value, torch.Tensor) for _, value in apart.leaves):
            raise ValueRefused("a group holds a tensor")
        self.values = dict(apart.leaves)
        self._options = list(options)
        self._skeleton = apart.skeleton
        types = [type(value).__name__ for value in self.values.values()]
        self.key = json.dumps([apart.skeleton, types])

    def skeleton(self, first: int) -> list[Any]:
        """As of `KeptTree`, with leaf numbers that begin at this one."""
        made: list[Any] = renumbered(self._skeleton, lambda number: number + first)
        return made

    def has_the_places_of(self, other: OptionLeaves) -> bool:
        """Whether the same numbers are there, of the same types."""
        mine = [(place, type(value)) for place, value in self.values.items()]
        return mine == [(place, type(value)) for place, value in other.values.items()]

    def leaves(self) -> list[tuple[Place, Type, Any]]:
        """As of `KeptTree`."""
        return leaves_in(self.values)

    def changed(self, values: dict[Place, Any], groups: int) -> list[dict[str, Any]]:
        """The options of all groups with other numbers at some leaves."""
        if all(len(place) == 3 for place in values):
            after = [dict(each) for each in self._options]
            for (_, index, name), value in values.items():
                after[int(index)][str(name)] = value
            return after
        leaves = list((self.values | values).values())
        return options_of(self._skeleton, dict(enumerate(leaves)), groups)

    def with_values(
        self, values: dict[Place, Any], options: list[dict[str, Any]]
    ) -> OptionLeaves | None:
        """These leaves of other options, or None where more than numbers differs.

        Args:
            values: by place, what is another number.
            options: what `changed` gave for them.
        """
        for place, value in values.items():
            if type(value) is not type(self.values[place]):
                return None
        other = OptionLeaves.__new__(OptionLeaves)
        vars(other).update(vars(self))
        other.values = self.values | values
        other._options = options
        return other


def options_of(
    skeleton: list[Any], leaves: dict[int, Any], groups: int | None
) -> list[dict[str, Any]]:
    """The options of each group, put together.

    Args:
        groups: how many there are; None: as many as the skeleton has.
    """
    parts = PuttingTogether(leaves.__getitem__).parts(skeleton)
    last = max((int(place[1]) + 1 for place, _ in parts), default=0)
    options: list[dict[str, Any]] = [{} for _ in range(groups or last)]
    for place, part in parts:
        options[int(place[1])][str(place[2])] = part
    return options
