"""In which loop each value of a chain is computed: a call of a function ends a loop.

Functions take whole arrays, so what they are given is computed in one loop over a
piece, and what they give is used in the next one. A chain that calls none is one loop.
"""

from collections.abc import Iterator

from dux_sandbox.recorded.kernels.chains import Chain, Link, Slot
from dux_sandbox.recorded.kernels.templates import Call, template_of_link


class Levels:
    """The loops of a chain.

    Attributes:
        once: values of one element, computed before the loops, in order.
        calls: links that call a function, in order.
        last: the number of the last loop; the first is 0.
        arrays: values that a later loop or a reduction uses.
        direct: leaves that a reduction takes from where they are.
    """

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._leaves = len(chain.leaves)
        self._level: dict[int, int] = {}
        self.once: list[int] = []
        self.calls: list[int] = []
        for at, leaf in enumerate(chain.leaves):
            if leaf.single:
                self.once.append(at)
            else:
                self._level[at] = 0
        for value in range(self._leaves, self._leaves + len(chain.links)):
            self._place(value)
        self.last = max(self._level.values(), default=0)
        written = {each.leaf for each in chain.stores}
        self.direct = {
            each.value
            for each in chain.reduces
            if each.value < self._leaves
            and chain.leaves[each.value].dtype in ("float32", "float64")
            and each.value not in (*written, *self.once)
        }
        self.arrays = self._needed_later()

    def _place(self, value: int) -> None:
        calls = isinstance(template_of_link(self._link(value)), Call)
        arguments = self._arguments(value)
        if not calls and all(each in self.once for each in arguments):
            self.once.append(value)
            return
        if calls:
            self.calls.append(value)
        self._level[value] = self._before(value) + calls

    def _before(self, value: int) -> int:
        """The level at which all arguments of a link are there."""
        before = [self._level.get(each, 0) for each in self._arguments(value)]
        return max(before, default=0)

    def _link(self, value: int) -> Link:
        return self._chain.links[value - self._leaves]

    def _arguments(self, value: int) -> list[int]:
        given = self._link(value).arguments
        return [each for each in given if not isinstance(each, Slot)]

    def _used(self, level: int) -> Iterator[int]:
        """Values that the loop of a level works with, before it makes its own."""
        for value in range(self._leaves, self._leaves + len(self._chain.links)):
            if self._level.get(value) == level:
                yield from self._arguments(value)
            if value in self.calls and self._before(value) == level:
                yield from self._arguments(value)
        if level == self.last:
            yield from (each.value for each in self._chain.stores)
        if level == 0:
            yield from (value for value in self._gathered() if value < self._leaves)

    def _gathered(self) -> set[int]:
        """Values that are put in arrays for a reduction."""
        return {each.value for each in self._chain.reduces} - self.direct

    def _needed_later(self) -> list[int]:
        needed = self._gathered()
        for level in range(1, self.last + 1):
            needed |= {
                value
                for value in self._used(level)
                if value >= self._leaves and self._level.get(value, level) < level
            }
        return sorted(needed)

    def read(self, level: int) -> list[int]:
        """What the loop of a level loads: leaves, and values of loops before it."""
        return sorted(
            value
            for value in set(self._used(level))
            if value in self._level
            and (value < self._leaves or self._level[value] < level)
        )

    def computed(self, level: int) -> list[int]:
        """The links whose results the loop of a level makes, in order."""
        return [
            value
            for value, at in self._level.items()
            if at == level and value >= self._leaves
        ]

    def called(self, level: int) -> list[int]:
        """The links whose functions are called after the loop of a level."""
        return [value for value in self.calls if self._before(value) == level]

    def kept(self, level: int) -> list[int]:
        """The values that the loop of a level puts in arrays."""
        return [value for value in self.arrays if self._level.get(value, 0) == level]
