"""Numbers that a device computes: on the CPU there at once, else on their way.

To read a number that a device computes is to wait until it has done all that was queued
before; a loop that does so at every step leaves the device idle in between.
"""

from collections.abc import Callable
from typing import Any

import torch

from dux_agent.live.integrity import all_finite
from dux_agent.live.snapshot import Buffers, clones, write_back
from dux_sandbox.shards import own_part

OnItsWay = Callable[[], float]  # waits for the value
Read = Callable[[Any], float | OnItsWay]
_Left = tuple[torch.Tensor, tuple[int, int]]


def read_number(number: torch.Tensor) -> float | OnItsWay:
    """The value of a scalar, or of one on a CUDA device what waits for it.

    It is copied to pinned memory in the order of the device's stream: what is written
    to the tensor later is not read.
    """
    number = number.detach()
    if not number.is_cuda:
        return float(number.item())
    copied = torch.empty_like(number, device="cpu", pin_memory=True)
    copied.copy_(number, non_blocking=True)
    done = torch.cuda.Event()
    done.record(torch.cuda.current_stream(number.device))

    def value() -> float:
        done.synchronize()
        return float(copied)

    return value


class LoopsOwn:
    """Weights that the loop has written, as they are now."""

    def __init__(
        self, parameters: list[torch.Tensor], model: torch.nn.Module | None
    ) -> None:
        """Copy them.

        Args:
            parameters: that it has written.
            model: whose buffers are the loop's too, since it has written all that is
                trained; None: none is.
        """
        self._parameters, self._values = parameters, clones(parameters)
        self._buffers = Buffers(model)

    def put_back(self) -> None:
        """Put back what is finite; a loop that clamps weights leaves NaN what it is."""
        pairs = zip(self._parameters, self._values, strict=True)
        sound = [(each, value) for each, value in pairs if all_finite([value])]
        write_back([each for each, _ in sound], [value for _, value in sound])
        if len(sound) == len(self._parameters):
            self._buffers.restore()


def _written(parameter: torch.Tensor) -> tuple[int, int]:
    """What is another one after a write in place, and in other memory."""
    part = own_part(parameter)
    pointer = part.data_ptr() if part.layout is torch.strided else 0
    return part._version, pointer


class FiniteLooks:
    """Whether steps left all weights finite, told at once or one step later.

    The loop may write to the weights before it is told, as where it loads a model that
    was good. What it has written is its own: whoever puts weights back for a step puts
    that back on top, as if they had been put back before the loop wrote.
    """

    def __init__(self) -> None:
        """Nobody has looked yet."""
        self._coming: tuple[str, OnItsWay] | None = None
        self._left: list[_Left] = []
        self._own: LoopsOwn | None = None

    def look(
        self, finite: float | OnItsWay, fault: str, parameters: list[torch.Tensor]
    ) -> str | None:
        """What is known now of the step that is over: `fault`, or None.

        Args:
            finite: 0 where it left something that is not; or what waits for that.
            fault: what speaks against the step then.
            parameters: as it left them.
        """
        if not callable(finite):
            return None if finite else fault
        self._coming = fault, finite
        self._left = [(each, _written(each)) for each in parameters]
        return None

    def hold_own(self, model: torch.nn.Module | None) -> None:
        """Between two steps: hold what the loop has written since, if it has."""
        if self._coming is None:
            return
        own = [each for each, mark in self._left if _written(each) != mark]
        if own:
            whole = model if len(own) == len(self._left) else None
            self._own = LoopsOwn(own, whole)

    def settle(self) -> str | None:
        """What the device has told since of the step that was looked at, or None."""
        coming, self._coming, self._left = self._coming, None, []
        if coming is None or coming[1]():
            self._own = None
            return None
        return f"{coming[0]}, which its device told a step later"

    def forget(self) -> None:
        """What is yet to be told is of weights that will be loaded over."""
        self._coming, self._left, self._own = None, [], None

    def put_back_own(self) -> None:
        """After weights were put back: what the loop had written is its own again."""
        own, self._own = self._own, None
        if own is not None:
            own.put_back()
