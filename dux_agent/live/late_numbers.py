"""Numbers that a device computes: on the CPU there at once, else on their way.

To read a number that a device computes is to wait until it has done all that was queued
before; a loop that does so at every step leaves the device idle in between.
"""

from collections.abc import Callable
from typing import Any

import torch

OnItsWay = Callable[[], float]  # waits for the value
Read = Callable[[Any], float | OnItsWay]


def read_number(number: torch.Tensor) -> float | OnItsWay:
    """The value of a scalar, or of one on a CUDA device what waits for it.

    It is copied to pinned memory in the order of the device's stream: what is written
    to the tensor later is not read.
    """
    number = number.detach()
    if not number.is_cuda:
        return float(number.item())
    copied = torch.empty(number.shape, dtype=number.dtype, pin_memory=True)
    copied.copy_(number, non_blocking=True)
    done = torch.cuda.Event()
    done.record(torch.cuda.current_stream(number.device))

    def value() -> float:
        done.synchronize()
        return float(copied)

    return value


class FiniteLooks:
    """Whether steps left all weights finite, told at once or one step later."""

    def __init__(self) -> None:
        """Nobody has looked yet."""
        self._coming: tuple[str, OnItsWay] | None = None

    def look(self, finite: float | OnItsWay, fault: str) -> str | None:
        """What is known now of the step that is over: `fault`, or None.

        Args:
            finite: 0 where it left something that is not; or what waits for that.
            fault: what speaks against the step then.
        """
        if not callable(finite):
            return None if finite else fault
        self._coming = fault, finite
        return None

    def settle(self) -> str | None:
        """What the device has told since of the step that was looked at, or None."""
        coming, self._coming = self._coming, None
        if coming is None or coming[1]():
            return None
        return f"{coming[0]}, which its device told a step later"
