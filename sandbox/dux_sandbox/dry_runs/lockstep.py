"""How processes that hold parts of one model try a proposal together."""

from collections.abc import Callable
from typing import Protocol, TypeVar

Value = TypeVar("Value")


class Lockstep(Protocol):
    """Processes that make the same dry run at the same time, each on its part.

    All of them call the same methods in the same order: what they go by in between is
    the same on each.
    """

    def alike(self, do: Callable[[], Value]) -> Value:
        """What `do` gives here.

        Raises:
            RuleFailed: it raised that on any of them.
            Whatever else ends the dry run on all.
        """

    def mean(self, loss: float) -> float:
        """That of the losses of all of them."""


class ByItself:
    """One process, with all of the model."""

    def alike(self, do: Callable[[], Value]) -> Value:
        """What `do` gives."""
        return do()

    def mean(self, loss: float) -> float:
        """The loss itself."""
        return loss
