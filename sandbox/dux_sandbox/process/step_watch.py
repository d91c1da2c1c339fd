"""What the steps of a rule take: their time, and memory that goes on growing."""

from __future__ import annotations

from collections.abc import Callable

_WATCH_EVERY = 8  # steps between two looks at the child's memory
_WATCH_FROM = 16  # steps until a rule's state counts as settled


class StepWatch:
    """Counts the steps of one rule.

    Attributes:
        first: the first step, seconds.
        longest: the longest step after the first, seconds.

    >>> held = iter([100, 300])
    >>> watch = StepWatch(most_growth=150)
    >>> for _ in range(23):
    ...     assert watch.grown_after(0.5, lambda: next(held)) is None
    >>> watch.grown_after(0.5, lambda: next(held)), watch.longest
    (200, 0.5)
    """

    def __init__(self, most_growth: int) -> None:
        """How much a rule's memory may grow once its state has settled, bytes."""
        self.first = 0.0
        self.longest = 0.0
        self._most_growth = most_growth
        self._steps = 0
        self._settled = 0

    def grown_after(self, seconds: float, resident: Callable[[], int]) -> int | None:
        """Count a step; the bytes that the memory has grown by, if that is too much.

        Args:
            seconds: that the step took.
            resident: bytes that the child holds now; asked for every eighth step.
        """
        self._steps += 1
        if self._steps == 1:
            self.first = seconds
        else:
            self.longest = max(self.longest, seconds)
        if self._steps % _WATCH_EVERY or self._steps < _WATCH_FROM:
            return None
        held = resident()
        if self._steps == _WATCH_FROM or not self._settled:
            self._settled = held
        grown = held - self._settled
        return grown if grown > self._most_growth else None
