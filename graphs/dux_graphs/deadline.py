"""How long one decision may wait for language models."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from dux_graphs.writing import NoMoreCalls


class Overdue(NoMoreCalls):
    """The time of a decision is over before a model has answered."""


@dataclass
class Deadline:
    """Counts the time of one decision from when it is made.

    Attributes:
        seconds: of the whole decision.
        call: seconds that one call may think; so many are kept for a fallback.
        clock: seconds, such as `time.monotonic`.
    """

    seconds: float
    call: float
    clock: Callable[[], float] = time.monotonic
    _began: float = field(init=False)

    def __post_init__(self) -> None:
        self._began = self.clock()

    def left(self) -> float:
        """Seconds that are left; below zero when it is over."""
        return self._began + self.seconds - self.clock()

    def left_before_fallbacks(self, fallbacks: int) -> float:
        """Seconds that are left for the first model to be asked again."""
        return self.left() - (self.call if fallbacks else 0.0)

    def require(self) -> float:
        """Seconds that are left for a call.

        Raises:
            Overdue: none are.
        """
        left = self.left()
        if left <= 0:
            raise Overdue(f"the {self.seconds:g} s of the decision are over")
        return left
