"""What goes together because it shares memory."""

from collections.abc import Sequence


class Groups:
    """Which roots, or strands, share memory."""

    def __init__(self) -> None:
        self._parent: dict[tuple[str, int], tuple[str, int]] = {}

    def join(self, root: int, values: Sequence[int]) -> None:
        """Put one with all others that these values are of."""
        for value in values:
            self._parent[self._top(("value", value))] = self._top(("root", root))

    def _top(self, node: tuple[str, int]) -> tuple[str, int]:
        while self._parent.setdefault(node, node) != node:
            self._parent[node] = self._parent[self._parent[node]]
            node = self._parent[node]
        return node

    def of(self, roots: Sequence[int]) -> list[list[int]]:
        """Those of each group, in order."""
        together: dict[tuple[str, int], list[int]] = {}
        for root in roots:
            together.setdefault(self._top(("root", root)), []).append(root)
        return list(together.values())
