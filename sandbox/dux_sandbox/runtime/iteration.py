"""What may be iterated, by exact type, and how far."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Iterator
from types import GeneratorType
from typing import Any

import torch

from dux_sandbox.language import vocabulary
from dux_sandbox.runtime.arithmetic import TENSORS
from dux_sandbox.runtime.budget import (
    OF_A_GENERATOR,
    OF_A_TUPLE,
    account,
    check_items,
    spend,
)
from dux_sandbox.runtime.nestable import ITERATORS, Deque, always_tuples, keep
from dux_sandbox.runtime.pieces import check_rows

# Nothing here runs code of the source's own but generators, whose frames stay out of
# reach.
ITERABLE: frozenset[type] = frozenset(
    [
        *(list, tuple, dict, set, frozenset, str, range, reversed, GeneratorType),
        *(collections.deque, Deque, collections.defaultdict, collections.OrderedDict),
        *(torch.Tensor, torch.nn.Parameter, torch.Size),
        *ITERATORS.values(),
        *(type({}.keys()), type({}.values()), type({}.items())),
        *(type(collections.OrderedDict().keys()),),
        *(type(collections.OrderedDict().values()),),
        *(type(collections.OrderedDict().items()),),
        *(type(iter([])), type(iter(())), type(iter(set())), type(iter(""))),
        *(type(iter({})), type(iter({}.values())), type(iter({}.items()))),
        *(type(iter(range(0))), type(iter(collections.deque()))),
        type(iter("é")),
        type(reversed([])),
        type(reversed({})),
    ]
)
Pattern = tuple[Any, ...]


def iterable(items: Any) -> Any:
    """`items` itself, if its exact type may be iterated.

    Raises:
        TypeError: it may not.
        ValueError: it is a tensor of too many rows, each of which becomes a tensor.
    """
    kind = type(items)
    if kind in ITERABLE:
        if kind in TENSORS:
            check_rows(items)
        return items
    if isinstance(items, tuple) and kind.__module__ == "torch.return_types":
        return items
    raise TypeError(f"a {kind.__name__} cannot be iterated in a rule")


def bounded(items: Any) -> Any:
    """`items`, or a list of them where their number is not known, within the cap.

    They count as made: whoever asks is about to make something of them.

    Raises:
        ValueError: more than `vocabulary.ITEMS` of them, or too many in this step.
    """
    iterable(items)
    if hasattr(type(items), "__len__"):
        spend(len(items))
        return items
    return listed(items)


def listed(items: Iterator[Any]) -> list[Any]:
    """A list of what a trusted iterator gives, within the cap.

    Raises:
        ValueError: more than `vocabulary.ITEMS`.
    """
    taken = list(itertools.islice(items, vocabulary.ITEMS + 1))
    spend(len(taken))
    if always_tuples(type(items)):
        account(OF_A_TUPLE * len(taken))
    return taken


def counted(items: Any) -> Iterator[Any]:
    """The items one by one, as long as they are within the cap.

    Raises:
        ValueError: more than `vocabulary.ITEMS`.
    """
    for number, item in enumerate(iterable(items)):
        if number >= vocabulary.ITEMS:
            check_items(number + 1)
        yield item


def yielded(value: Any = None) -> Any:
    """`value`, which a generator is about to give, counted.

    Raises:
        ValueError: the generators of this step have given too much.
    """
    account(OF_A_GENERATOR)
    return value


def delegated(items: Any) -> Any:
    """What a generator gives by `yield from`: as `iterable`, and counted.

    Raises:
        TypeError, ValueError: as `iterable` and `yielded`.
    """
    iterable(items)
    if type(items) is GeneratorType:
        return items  # it counts by itself, and returns a value
    if hasattr(type(items), "__len__"):
        account(OF_A_GENERATOR * len(items))
        return items
    return keep(yielded(item) for item in items)


def unpacked(value: Any, pattern: Pattern) -> Any:
    """A value about to be assigned to a pattern of names such as `a, (b, *c)`.

    Args:
        pattern: for every target None for a name, "*" for a starred one, and a tuple
            for a pattern inside.

    Raises:
        TypeError, ValueError: as `bounded`, here and inside.
    """
    flat = not any(type(part) is tuple for part in pattern)
    if flat and "*" not in pattern:
        return iterable(value)
    if flat:
        return bounded(value)
    items = list(bounded(value))
    star = pattern.index("*") if "*" in pattern else len(pattern)
    behind = len(pattern) - star - 1
    for place, part in enumerate(pattern):
        at = place if place < star else place - behind - star - 1
        if type(part) is tuple and -len(items) <= at < len(items):
            items[at] = unpacked(items[at], part)
    return items


def rows(items: Any, pattern: Pattern) -> Any:
    """The items of a loop whose target is a pattern, each as `unpacked` gives it."""
    plain = not any(pattern)
    if plain and always_tuples(type(items)):
        return items
    return _rows(iterable(items), pattern)


def _rows(items: Any, pattern: Pattern) -> Iterator[Any]:
    for item in items:
        yield unpacked(item, pattern)
