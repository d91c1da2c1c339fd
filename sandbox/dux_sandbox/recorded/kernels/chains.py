"""What a kernel computes: a chain of element-wise operations over some buffers."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

FLOATS = ("float32", "float64", "float16", "bfloat16")
"""The dtypes of numbers that kernels know; "bool" is the one beside them."""

Along = Literal["row", "column"]
"""One element for each row of a strand; or one row for all."""
Reduction = Literal["sum", "mean", "norm2", "amax", "amin"]


@dataclass(frozen=True)
class Leaf:
    """A buffer that a chain reads.

    Attributes:
        single: it holds one element, which goes with all elements of the others.
        along: it holds fewer elements than the others, and goes with them by rows.
    """

    dtype: str
    single: bool = False
    along: Along | None = None


@dataclass(frozen=True)
class Slot:
    """The place of one of Python's numbers among the arguments of a link."""

    index: int


@dataclass(frozen=True)
class Link:
    """One operation of a chain.

    Attributes:
        name: of a template.
        arguments: the index of a value - leaves first, then links - or a slot.
        attributes: as in the program, and "exponent" for a power that never changes.
        dtype: of its result.
        works_in: the dtype that torch computes it in.
        single: it has one element: all its arguments have.
    """

    name: str
    arguments: tuple[int | Slot, ...]
    attributes: tuple[tuple[str, Any], ...]
    dtype: str
    works_in: str
    single: bool = False


@dataclass(frozen=True)
class Store:
    """A value that is written to a buffer.

    Attributes:
        value: an index, as in `Link.arguments`.
        leaf: the leaf whose buffer is written in place, or None: one of its own.
        watched: whether a value that is not finite is told.
    """

    value: int
    leaf: int | None = None
    watched: bool = False


@dataclass(frozen=True)
class Reduce:
    """A value whose elements are brought together into one.

    Attributes:
        dtype: of the result; the sums themselves are float64.
        along: "row": each row is brought together by itself; "column": each column.
    """

    value: int
    kind: Reduction
    dtype: str
    along: Along | None = None


@dataclass(frozen=True)
class Chain:
    """What is done to each element: the same for all strands of a kernel.

    Attributes:
        numbers: how many slots there are.
    """

    leaves: tuple[Leaf, ...]
    links: tuple[Link, ...]
    stores: tuple[Store, ...]
    reduces: tuple[Reduce, ...]
    numbers: int

    @property
    def buffers(self) -> int:
        """How many pointers a strand has: leaves, own stores, results of reductions."""
        own = sum(each.leaf is None for each in self.stores)
        return len(self.leaves) + own + len(self.reduces)

    @property
    def in_rows(self) -> bool:
        """Whether it asks how wide the rows of a strand are."""
        ways = [each.along for each in self.leaves]
        ways += [each.along for each in self.reduces]
        return any(way is not None for way in ways)

    @property
    def columns(self) -> tuple[int, ...]:
        """The indices of the reductions of columns."""
        reduces = enumerate(self.reduces)
        return tuple(at for at, each in reduces if each.along == "column")

    def targets(self) -> Iterator[tuple[int, Store]]:
        """Each store with the index of the buffer that it writes."""
        own = len(self.leaves)
        for store in self.stores:
            if store.leaf is not None:
                yield store.leaf, store
            else:
                yield own, store
                own += 1

    def dtype(self, value: int) -> str:
        """The dtype of a value by its index."""
        if value < len(self.leaves):
            return self.leaves[value].dtype
        return self.links[value - len(self.leaves)].dtype

    def single(self, value: int) -> bool:
        """Whether a value has one element for all."""
        if value < len(self.leaves):
            return self.leaves[value].single
        return self.links[value - len(self.leaves)].single
