"""What goes together because it shares memory, or anything else."""

from collections.abc import Hashable, Sequence
from typing import Generic, TypeVar

Node = TypeVar("Node", bound=Hashable)


class Sets(Generic[Node]):
    """Sets without a common member, of which some are made one."""

    def __init__(self) -> None:
        self._parent: dict[Node, Node] = {}

    def join(self, one: Node, other: Node) -> None:
        """Make the sets of these one."""
        self._parent[self.top(one)] = self.top(other)

    def top(self, node: Node) -> Node:
        """The member that stands for the set of this one."""
        while self._parent.setdefault(node, node) != node:
            self._parent[node] = self._parent[self._parent[node]]
            node = self._parent[node]
        return node


class Groups:
    """Which roots, or strands, share memory."""

    def __init__(self) -> None:
        self._sets: Sets[tuple[str, int]] = Sets()

    def join(self, root: int, values: Sequence[int]) -> None:
        """Put one with all others that these values are of."""
        for value in values:
            self._sets.join(("value", value), ("root", root))

    def of(self, roots: Sequence[int]) -> list[list[int]]:
        """Those of each group, in order."""
        together: dict[tuple[str, int], list[int]] = {}
        for root in roots:
            together.setdefault(self._sets.top(("root", root)), []).append(root)
        return list(together.values())
