"""Memory of a rule's process that goes on growing."""

from collections.abc import Callable

_WATCH_EVERY = 8  # steps between two looks at the child's memory
_WATCH_FROM = 16  # steps until a rule's state counts as settled


class MemoryGrowth:
    """Counts the steps of one rule, and looks at its memory now and then.

    >>> resident = iter([100, 300])
    >>> growth = MemoryGrowth(most=150)
    >>> [growth.after_step(lambda: next(resident)) for _ in range(24)][-1]
    200
    """

    def __init__(self, most: int) -> None:
        """How much it may grow once the rule's state has settled, bytes."""
        self._most = most
        self._steps = 0
        self._settled = 0

    def after_step(self, resident: Callable[[], int]) -> int | None:
        """Count a step; the bytes that the memory has grown by, if that is too much.

        Args:
            resident: bytes that the child holds now; asked for every eighth step.
        """
        self._steps += 1
        if self._steps % _WATCH_EVERY or self._steps < _WATCH_FROM:
            return None
        now = resident()
        if self._steps == _WATCH_FROM or not self._settled:
            self._settled = now
        grown = now - self._settled
        return grown if grown > self._most else None
