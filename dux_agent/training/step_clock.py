"""How long a step of the training takes, by the last ones."""

import statistics
import time
from collections import deque

TICK_EVERY = 4  # steps
_REMEMBERED = 17


class StepClock:
    """Hears of the end of every fourth step.

    The median counts, so that a decision or an idle hour in between changes nothing. It
    is a device's pace too: a loop is at most four losses ahead of one, see `LossFeed`.
    """

    def __init__(self) -> None:
        """No step was taken yet."""
        self._ends: deque[tuple[int, float]] = deque(maxlen=_REMEMBERED)

    def tick(self, step: int) -> None:
        """So many steps are over."""
        self._ends.append((step, time.perf_counter()))

    @property
    def seconds(self) -> float | None:
        """From the end of a step to the end of the next; None: nobody knows yet."""
        ends = list(self._ends)
        paces = [
            (after - before) / (step - former)
            for (step, after), (former, before) in zip(ends[1:], ends, strict=False)
            if step > former
        ]
        return statistics.median(paces) if paces else None
