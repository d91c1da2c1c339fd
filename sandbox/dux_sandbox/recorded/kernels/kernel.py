"""What machine code of one chain promises, wherever it runs."""

import ctypes
from collections.abc import Sequence
from typing import Any, Protocol

import torch

from dux_sandbox.recorded.kernels.chains import Chain


class BoundKernel(Protocol):
    """A kernel with the strands that it is called over."""

    @property
    def finite(self) -> bool | torch.Tensor:
        """Whether all watched values that the last call wrote are finite.

        On a device one truth of no dimensions there: nobody waits for it.
        """

    def share(self, rows: Sequence[int]) -> None:
        """Say for each strand which row of numbers it works with."""

    def point(self, pointers: Sequence[Any]) -> None:
        """Say which memory the next calls work on.

        Args:
            pointers: for each buffer of each strand in turn.
        """

    def count_with(self, numbers: Sequence[Any]) -> None:
        """Say which numbers the next calls work with.

        Args:
            numbers: for each slot of each row in turn.
        """

    def call(self) -> None:
        """Do it; on a device, in the order of its current stream."""


class CapturableKernel(BoundKernel, Protocol):
    """One on a device, of which a call can be captured; see `capturing`."""

    @property
    def words(self) -> int:
        """How many words of 8 bytes it reads in a call, and one more, which is 0: where
        it notes what is not finite."""

    def lie(self, given: torch.Tensor | None) -> None:
        """Say where these words lie on the device; None: a call brings them there."""

    def write_to(self, address: int) -> None:
        """Write them to memory of the host, but for the one that is 0."""


class Given:
    """The arrays that machine code reads, as a bound kernel is told what is in them."""

    _row: ctypes.Array[Any]
    _buffers: ctypes.Array[Any]
    _numbers: ctypes.Array[Any]

    def share(self, rows: Sequence[int]) -> None:
        """See `BoundKernel.share`."""
        self._row[:] = list(rows)

    def point(self, pointers: Sequence[Any]) -> None:
        """See `BoundKernel.point`."""
        self._buffers[:] = pointers  # type: ignore[call-overload]

    def count_with(self, numbers: Sequence[Any]) -> None:
        """See `BoundKernel.count_with`."""
        self._numbers[: len(numbers)] = numbers  # type: ignore[call-overload]


class Kernel(Protocol):
    """The machine code of one chain."""

    chain: Chain

    def bind(self, elements: Sequence[int], widths: Sequence[int]) -> BoundKernel:
        """Make room for strands of so many elements each, in rows of these widths."""
