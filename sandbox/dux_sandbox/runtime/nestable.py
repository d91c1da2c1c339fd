"""Python's iterators and deques in a form that may be nested.

The C code of `map`, `enumerate`, `slice` and their like neither counts how deep it
calls itself nor spreads out how it frees what is nested: 100,000 of one inside the
other overflow the C stack and end the process. A subclass is freed with care, and
knows how deep it is.
"""

from __future__ import annotations

import collections
import itertools
import weakref
from collections.abc import Callable, Iterator
from types import GeneratorType
from typing import Any

from dux_sandbox.language import vocabulary


class Deque(collections.deque[Any]):
    """A deque; `collections.deque` itself never reaches a rule."""

    __slots__ = ()


Deque.__name__ = "deque"  # what a rule, and its texts, see

MAPPINGS: frozenset[type] = frozenset(
    [dict, collections.defaultdict, collections.OrderedDict]
)
"""The dicts that reach a rule."""


def _nestable(kind: type) -> type:
    made = type(kind.__name__.capitalize(), (kind,), {"__slots__": ("depth",)})
    made.__module__ = __name__
    return made


# By the name of the function that a rule calls.
ITERATORS: dict[str, type] = {
    kind.__name__: _nestable(kind)
    for kind in (
        *(map, zip, filter, enumerate, itertools.accumulate, itertools.islice),
        *(itertools.pairwise, itertools.starmap, itertools.takewhile),
        *(itertools.dropwhile, itertools.zip_longest),
    )
}
_DEEP = frozenset(ITERATORS.values())


def iterator(name: str, *arguments: Any, **options: Any) -> Iterator[Any]:
    """The iterator that `name(*arguments, **options)` gives.

    Raises:
        RecursionError: iterators nested deeper than `vocabulary.NESTING`.
    """
    kind = ITERATORS[name]
    made: Any = kind(*arguments, **options)
    inner = [each.depth for each in arguments if type(each) in _DEEP]
    made.depth = 1 + max(inner, default=0)
    if made.depth > vocabulary.NESTING:
        raise RecursionError(
            f"iterators nested deeper than {vocabulary.NESTING}; make a list between"
        )
    found: Iterator[Any] = made
    return found


def always_tuples(kind: type) -> bool:
    """Whether every item of such an iterator is a tuple."""
    return kind in _TUPLES


_TUPLES = frozenset(
    [*(ITERATORS[name] for name in ("zip", "enumerate", "pairwise", "zip_longest"))]
    + [type({}.items()), type(collections.OrderedDict().items())]
)


# The generators of all rules in this process: freeing them nests as deep as they do.
_LIVING: set[weakref.ref[Any]] = set()


def keep(made: Any) -> Any:
    """`made`, counted if it is a generator, until it is gone.

    Raises:
        RuntimeError: more than `vocabulary.GENERATORS` live at once.
    """
    if type(made) is GeneratorType:
        if len(_LIVING) >= vocabulary.GENERATORS:
            raise RuntimeError(
                f"more than {vocabulary.GENERATORS} generators at once; "
                f"make lists in their place"
            )
        _LIVING.add(weakref.ref(made, _LIVING.discard))
    return made


def kept(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, a generator function, with what it makes counted."""

    def make(*arguments: Any, **options: Any) -> Any:
        return keep(function(*arguments, **options))

    make.__name__, make.__doc__ = function.__name__, function.__doc__
    make.__wrapped__ = function  # type: ignore[attr-defined]  # for its signature
    return make
