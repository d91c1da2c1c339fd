"""Torch's calls on large tensors, of so many parameters at once as memory allows."""

LARGE = 1 << 16
"""Elements of which a few temporaries fill the cache of one core."""


class Turn:
    """Which of these calls may be in one stage.

    Each parameter has a row of them, such as products of matrices, with kernels in
    between. One parameter after the other, what is in between is in a cache; side by
    side, the kernels of all are one launch.
    """

    def __init__(self, most: int) -> None:
        """See `Target.side_by_side`."""
        self._most = most
        self._made = self._first = self._last = 0

    def place(self, ready: int, elements: int) -> int:
        """The stage of a call that could be in stage `ready`, of so many elements."""
        stage = max(ready, self._first)
        self._last = max(self._last, stage)
        self._made += elements
        if self._made > self._most:
            self._first, self._made = self._last, 0
        return stage
