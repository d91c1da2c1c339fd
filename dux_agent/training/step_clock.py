"""How long a step of the training takes, by the last ones."""

import statistics
import time
from collections import deque

_REMEMBERED = 17


class StepClock:
    """Hears of the end of each step.

    The median counts, so that a decision or an idle hour in between changes nothing.
    """

    def __init__(self) -> None:
        """No step was taken yet."""
        self._ends: deque[float] = deque(maxlen=_REMEMBERED)

    def tick(self) -> None:
        """A step is over."""
        self._ends.append(time.perf_counter())

    @property
    def seconds(self) -> float | None:
        """From the end of a step to the end of the next; None: nobody knows yet."""
        ends = list(self._ends)
        if len(ends) < 2:
            return None
        pairs = zip(ends[1:], ends, strict=False)
        return statistics.median(after - before for after, before in pairs)
