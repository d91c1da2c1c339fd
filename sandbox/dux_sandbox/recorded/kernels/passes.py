"""One pass of a step, bound to the places of its tensors and numbers in a table."""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from dux_sandbox.recorded.kernels.joining import Pass
from dux_sandbox.recorded.kernels.library import Bound, Library
from dux_sandbox.recorded.kernels.numbers import Pick, picked

Kind = tuple[torch.dtype, torch.Size]


class ReadyPass:
    """A pass that can be called.

    Attributes:
        buffers: for each pointer, the value or output that it is of.
    """

    def __init__(
        self,
        one: Pass,
        library: Library,
        where: Callable[[int], int],
        held: frozenset[int],
        kind: Callable[[int], Kind],
    ) -> None:
        """Make it ready.

        Args:
            where: the place in the table of a value or an output.
            held: the places whose tensors are there before the step.
            kind: of a value that is a tensor.
        """
        self.buffers = [at for each in one.strands for at in each.buffers]
        self._strands = one.strands
        self._bound = Bound(library, [each.elements for each in one.strands])
        places = [where(at) for at in self.buffers]
        self._order = picked(places)
        self._moves = not held.issuperset(places)
        self._moved = -1
        self._numbers: Pick = picked([])
        leaves = len(one.chain.leaves)
        makes = {
            value: (value, *kind(value))
            for strand in one.strands
            for value in strand.buffers[leaves:]
            if where(value) not in held
        }
        self._makes = list(makes.values())

    def share(self, same: Sequence[int]) -> None:
        """Bring the numbers of strands together that are equal.

        Args:
            same: for each value, the first one that is equal to it.
        """
        rows: dict[tuple[int, ...], int] = {}
        self._bound.share(
            [
                rows.setdefault(tuple(same[at] for at in each.slots), len(rows))
                for each in self._strands
            ]
        )
        self._numbers = picked([at for row in rows for at in row])

    def call(self, table: list[Any], pointers: list[int], moves: int) -> bool:
        """Do it.

        Args:
            table: numbers, and what it makes: that is put there.
            pointers: of each tensor of the table.
            moves: how often a tensor that was there has moved so far.

        Returns:
            Whether all that it wrote to parameters is finite.
        """
        for value, dtype, shape in self._makes:
            table[value] = made = torch.empty(shape, dtype=dtype)
            pointers[value] = made.data_ptr()
        if self._moves or self._moved != moves:
            self._bound.point(self._order(pointers))
            self._moved = moves
        self._bound.count_with(self._numbers(table))
        return self._bound.call()
