"""Losses in, their values out: at once from the CPU, some steps late from a device."""

from collections import deque
from collections.abc import Iterable
from typing import Any

import torch

from dux_agent.errors import BadArgument
from dux_agent.live.late_numbers import OnItsWay as OnItsWay
from dux_agent.live.late_numbers import Read, read_number
from dux_sandbox.scalar_loss import scalar_loss


def read_loss(loss: Any) -> float | OnItsWay:
    """The value of a loss, or of one on a CUDA device what waits for it.

    Raises:
        BadArgument: it is no scalar.
    """
    if isinstance(loss, torch.Tensor) and not loss.is_cuda and loss.numel() == 1:
        return float(loss.item())
    loss = scalar_loss(loss, error=BadArgument)
    return loss if isinstance(loss, float) else read_number(loss)


class LossFeed:
    """Hands on the values of losses, each once, in the order they were pushed in.

    How late one comes is counted in losses and never depends on a clock: what the
    guard does with it happens at the same step in a replay.

    >>> feed = LossFeed()
    >>> feed.push(torch.tensor(0.5)), feed.push(0.25)
    ([(1, 0.5)], [(2, 0.25)])
    """

    def __init__(self, read: Read = read_loss, *, most_late: int = 4) -> None:
        """Hand on nothing yet.

        Args:
            read: gives the value of a loss, or what waits for it.
            most_late: losses that may be on their way before the oldest is waited for.
        """
        self._read = read
        self._most_late = most_late
        self._step = 0
        self._coming: deque[tuple[int, float | OnItsWay]] = deque()

    @property
    def at_once(self) -> bool:
        """Whether a loss on the CPU has its value now, and none is before it."""
        return self._read is read_loss and not self._coming

    def push(self, loss: Any, step: int | None = None) -> list[tuple[int, float]]:
        """Take one more loss; the values that are there now, each with its step.

        One that is a number at once brings all before it.

        Args:
            loss: a scalar tensor or a number.
            step: that it belongs to; None: the one after the last.

        Raises:
            BadArgument: it is no scalar; nothing was taken.
        """
        read = self._read(loss)
        step = self._step + 1 if step is None else step
        self._step = step
        if not self._coming and isinstance(read, float):
            return [(step, read)]
        self._coming.append((self._step, read))
        return self._come(0 if isinstance(read, float) else self._most_late)

    def coming(self) -> list[tuple[int, float]]:
        """What is on its way and stays there, each with its step; waits for it."""
        come = self._come(0)
        self.send(come)
        return come

    def send(self, coming: Iterable[tuple[int, float]]) -> None:
        """Have these on their way and no others, as after a load."""
        self._coming = deque(coming)

    def drain(self) -> list[tuple[int, float]]:
        """The values of all that are on their way; waits for them."""
        return self._come(0)

    def _come(self, leave: int) -> list[tuple[int, float]]:
        come = []
        while len(self._coming) > leave:
            step, read = self._coming.popleft()
            come.append((step, read if isinstance(read, float) else read()))
        return come
