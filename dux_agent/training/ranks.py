"""The processes that train one model together, and the one that trains alone."""

from typing import Protocol, TypeVar

Value = TypeVar("Value")


class Ranks(Protocol):
    """Processes that train one model together.

    Attributes:
        rank: of this one, from 0.
        count: how many there are.
    """

    @property
    def rank(self) -> int: ...

    @property
    def count(self) -> int: ...

    def gather(self, value: Value) -> list[Value]:
        """What every rank gave, in the order of ranks; the same list on each of them.

        All of them call it, equally often; each waits until all have.

        Args:
            value: plain data, or a record of it.

        Raises:
            RanksLost: one of them has left, or is gone.
        """

    def leave(self) -> None:
        """Take part no more; whoever waits for this rank hears of it."""


class Alone:
    """One process by itself: what it gives is all there is."""

    rank = 0
    count = 1

    def gather(self, value: Value) -> list[Value]:
        """A list of this one value, which is handed back itself."""
        return [value]

    def leave(self) -> None:
        """There is nobody to leave."""
