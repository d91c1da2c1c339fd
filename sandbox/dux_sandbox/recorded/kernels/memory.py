"""The memory of a step's tensors, in the order in which kernels go through it."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch

from dux_sandbox.recorded.kernels.layout import Layout, Strides
from dux_sandbox.recorded.kernels.table import Table


class Memory:
    """Where the tensors of a step are: those that the rule keeps, and the others.

    Attributes:
        moves: how often any of them was found somewhere else.
        copies: whether kernels work on copies of some, for one step.
    """

    def __init__(self, table: Table, device: torch.device) -> None:
        """Of the tensors of a table that are there before a step."""
        self._table = table
        self._kept, self._loose = (
            Layout(places, list(map(table.kind, places)), table.written, device)
            for places in (table.kept, table.loose)
        )
        self._both = self._kept, self._loose
        self._stamp: int | None = None
        self._settled = (0, 0)
        self.copies = False
        self.moves = 0

    def follow(self, table: Sequence[Any], stamp: int | None) -> bool:
        """Whether kernels can work on these tensors; see `FusedProgram.run`."""
        kept, loose = self._both
        others = loose.follow(table)
        if others is None:
            return False
        is_known = stamp is not None and stamp == self._stamp
        if not is_known or (kept.looks, loose.looks) != self._settled:
            self._stamp = None
            own = kept.follow(table)
            if own is None:
                return False
            self._settle(table)
            kept.point(own)
            self._stamp = None if kept.copies else stamp
        loose.point(others)
        self.moves = kept.moves + loose.moves
        return True

    def _settle(self, table: Sequence[Any]) -> None:
        """Find out what must be copied, where tensors lie otherwise than before."""
        looks = self._kept.looks, self._loose.looks
        if looks != self._settled:
            self._settled = looks
            copies = _strides_wanted(table, self._table.reached, self._table.alike)
            for layout in self._both:
                layout.copies = {at: copies[at] for at in layout.places if at in copies}
            self.copies = bool(copies)

    def stays(self, moves: int) -> bool:
        """Whether nothing lies elsewhere than after so many moves: of what is copied
        it is not known."""
        return moves == self.moves and not self.copies

    def tell(self, pointers: list[int]) -> None:
        """Put the pointers that kernels are to have into a list, by their places."""
        for layout in self._both:
            for at, pointer in zip(layout.places, layout.pointers, strict=True):
                pointers[at] = pointer

    def find(self, pointers: list[int], moves: int) -> int:
        """The same where anything lies elsewhere than after so many moves; how many
        there are now."""
        if moves != self.moves:
            self.tell(pointers)
        return self.moves

    def put_back(self) -> None:
        """Bring what kernels wrote to copies to the tensors that they are of."""
        for layout in self._both if self.copies else ():
            layout.put_back()

    def release(self) -> None:
        """Let go of copies, whether or not a step was taken."""
        for layout in self._both if self.copies else ():
            layout.release()


def _strides_wanted(
    table: Sequence[Any], places: Iterable[int], alike: Sequence[Sequence[int]]
) -> dict[int, Strides]:
    """The strides that kernels need, of each tensor that has others.

    A kernel goes through memory: the values of a tensor must follow each other there,
    in the order of its indices. Where it does the same to each element of some tensors,
    any order will do that is theirs in all, as in `channels_last`: that of the first.

    Args:
        table: holds the tensors.
        places: of all of them.
        alike: places of those that may be in any order, but in one.
    """
    wanted = {
        at: _in_a_row(table[at].shape) for at in places if not table[at].is_contiguous()
    }
    for group in alike:
        if wanted.keys().isdisjoint(group):
            continue
        lies = {at: _without_holes(table[at]) for at in group}
        best = next((each for each in lies.values() if each is not None), None)
        if best is not None and len({table[at].shape for at in group}) == 1:
            for at in group:
                wanted.pop(at, None)
                if lies[at] != best:
                    wanted[at] = best
    return wanted


def _in_a_row(shape: torch.Size) -> Strides:
    return torch.empty(shape, device="meta").stride()


def _without_holes(tensor: torch.Tensor) -> Strides | None:
    """Its strides, if its elements fill its memory; of equal ones, equal strides."""
    if tensor.is_contiguous():
        return _in_a_row(tensor.shape)
    falling = sorted(range(tensor.dim()), key=tensor.stride, reverse=True)
    return tensor.stride() if tensor.permute(falling).is_contiguous() else None
