"""What a rule keeps, taken apart: tensors and numbers at the leaves, and the rest.

The rest, the skeleton, is plain JSON in which each leaf is a number; two steps do the
same only where the skeletons they begin with are the same.
"""

from collections.abc import Callable
from typing import Any

import torch

from dux_sandbox.recorded.program import Place
from dux_sandbox.values import Decoder, Encoder, ValueRefused

LEAF = "dux_value"
"""The tag of a leaf in a skeleton: {LEAF: a number}."""
IsLeaf = Callable[[Any], bool]


def is_leaf(value: Any) -> bool:
    """Whether a value is a tensor, or a number that a program can compute."""
    return isinstance(value, torch.Tensor) or type(value) in (int, float)


class _TakingApart(Encoder):
    def __init__(self, leaves: list[tuple[Place, Any]], leaf: IsLeaf) -> None:
        super().__init__(None)
        self._leaves = leaves
        self._is_leaf = leaf
        self._place: Place = ()

    def begin(self, place: Place, value: Any) -> Any:
        self._place = place
        return self.encode(value)

    def encode(self, value: Any, depth: int = 0) -> Any:
        if self._is_leaf(value):
            self._leaves.append((self._place, value))
            return {LEAF: len(self._leaves) - 1}
        place, kind = self._place, type(value)
        if kind in (list, tuple):
            inside = []
            for at, each in enumerate(value):
                self._place = (*place, at)
                inside.append(self.encode(each, depth + 1))
            self._place = place
            return {kind.__name__: inside}
        if isinstance(value, dict):
            pairs = []
            for key, item in value.items():
                if type(key) not in (str, int):
                    raise ValueRefused("a dict with keys that are no texts or numbers")
                self._place = (*place, key)
                pairs.append([key, self.encode(item, depth + 1)])
            self._place = place
            form = self.form(value)
            return {"dict": pairs} if form == "dict" else {"formed": [form, pairs]}
        # Sets are of plain things alone: what is a number there is no leaf.
        return Encoder(None).encode(value, depth)


class TakenApart:
    """A tree in two halves.

    Attributes:
        skeleton: plain JSON.
        leaves: in the order of their numbers, the place and the value of each.
    """

    def __init__(self, leaf: IsLeaf = is_leaf) -> None:
        self.leaves: list[tuple[Place, Any]] = []
        self.skeleton: list[Any] = []
        self._taking = _TakingApart(self.leaves, leaf)

    def add(self, place: Place, value: Any) -> None:
        """One more part of it, whose leaves have places that begin like this.

        Raises:
            ValueRefused: it holds what is no plain data.
        """
        self.skeleton.append([list(place), self._taking.begin(place, value)])


class PuttingTogether(Decoder):
    """Makes the values of a skeleton, with what `lookup` gives for each leaf."""

    def __init__(self, lookup: Callable[[int], Any]) -> None:
        super().__init__(bytearray())
        self._lookup = lookup

    def tagged(self, tag: str, content: Any, depth: int) -> Any:
        """A leaf, or the value of a tag that `Decoder` knows."""
        if tag == LEAF:
            return self._lookup(content)
        return super().tagged(tag, content, depth)

    def parts(self, skeleton: Any) -> list[tuple[Place, Any]]:
        """Each part of a tree with its place.

        Raises:
            ValueRefused: the skeleton is malformed.
        """
        try:
            return [(tuple(place), self.decode(part)) for place, part in skeleton]
        except (TypeError, ValueError, LookupError) as error:
            raise ValueRefused(f"what the rule keeps is malformed: {error}") from None


def renumbered(node: Any, new: Callable[[Any], Any]) -> Any:
    """A skeleton with another number, or what stands for one, at each leaf."""
    if type(node) is dict:
        if set(node) == {LEAF}:
            return {LEAF: new(node[LEAF])}
        return {key: renumbered(inside, new) for key, inside in node.items()}
    if type(node) is list:
        return [renumbered(inside, new) for inside in node]
    return node


def in_a_row(node: Any) -> tuple[Any, list[int]]:
    """A skeleton with its leaves numbered from 0 on, in order, and what they were.

    >>> in_a_row([{LEAF: 7}, {LEAF: 5}])[1]
    [7, 5]
    """
    numbers = leaves_of(node)
    places = iter(range(len(numbers)))
    return renumbered(node, lambda _: next(places)), numbers


def leaves_of(node: Any) -> list[int]:
    """The numbers at the leaves of a skeleton, in order."""
    found: list[int] = []

    def note(number: int) -> int:
        found.append(number)
        return number

    renumbered(node, note)
    return found
