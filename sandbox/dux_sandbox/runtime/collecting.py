"""Lists, sets, dicts and chains as a rule makes them: bounded, with keys looked at."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from dux_sandbox.language import vocabulary
from dux_sandbox.runtime.budget import OF_A_SET, account, check_items, spend
from dux_sandbox.runtime.iteration import bounded, iterable
from dux_sandbox.runtime.nestable import Deque, keep
from dux_sandbox.runtime.nesting import check_keys
from dux_sandbox.runtime.standins import StandIn, kind_of


def keys(items: Any) -> Any:
    """`bounded(items)`, if all of them may be hashed.

    Raises:
        ValueError, RecursionError: as `dux_sandbox.runtime.nesting.check_keys`.
    """
    taken = bounded(items)
    account(OF_A_SET * len(taken))
    if type(taken) not in _KEYED:
        taken = taken if isinstance(taken, (list, tuple)) else list(taken)
        check_keys(taken)
    return taken


# Their items were looked at when they came in.
_KEYED: frozenset[type] = frozenset(
    [dict, set, frozenset, collections.OrderedDict, collections.defaultdict]
    + [str, range, type({}.keys()), type(collections.OrderedDict().keys())]
)


def collecting(kind: Callable[..., Any]) -> Callable[..., Any]:
    """`kind(items)` of at most `vocabulary.ITEMS` items."""

    def build(*items: Any) -> Any:
        made = kind(*(bounded(part) for part in items))
        spend(len(made))
        return made

    return build


def hashing(kind: Callable[..., Any]) -> Callable[..., Any]:
    """`collecting` for a kind that hashes its items."""

    def build(*items: Any) -> Any:
        return kind(*(keys(part) for part in items))

    return build


def dict_of(kind: Callable[..., Any] = dict) -> Callable[..., Any]:
    """`collecting` for a kind of dict."""

    def build(*items: Any, **options: Any) -> Any:
        return kind(*(pairs(part) for part in items), **options)

    return build


def pairs(items: Any) -> Any:
    """What a dict may be made of: a mapping, or pairs whose keys may be hashed.

    Raises:
        ValueError, RecursionError: as `keys`.
    """
    taken = bounded(items)
    account(OF_A_SET * len(taken))
    if type(taken) in _KEYED:
        return taken
    taken = [tuple(bounded(pair)) for pair in taken]
    check_keys([pair[0] for pair in taken if pair])
    return taken


def defaultdict_of(factory: Any = None, *items: Any, **options: Any) -> Any:
    """`collections.defaultdict`."""
    # A real class as factory: a stand-in would not survive a pickled state.
    if type(factory) is StandIn:
        factory = kind_of(factory)
    parts = (pairs(part) for part in items)
    return collections.defaultdict(factory, *parts, **options)


def deque_of(items: Any = (), maxlen: Any = None) -> Any:
    """`collections.deque`."""
    return Deque(bounded(items), maxlen)


def fromkeys(items: Any, value: Any = None) -> dict[Any, Any]:
    """`dict.fromkeys`."""
    return dict.fromkeys(keys(items), value)


def chained(*parts: Any) -> Iterator[Any]:
    """`itertools.chain`."""
    return chained_from(parts)


def chained_from(parts: Any) -> Iterator[Any]:
    """`itertools.chain.from_iterable`."""
    found: Iterator[Any] = keep(_chain(iterable(parts)))
    return found


def _chain(parts: Iterable[Any]) -> Iterator[Any]:
    """The items of all parts, as long as they are within the cap.

    The same list many times over would keep C code busy for ever.
    """
    number = 0
    for part in parts:
        for item in iterable(part):
            number += 1
            if number > vocabulary.ITEMS:
                check_items(number)
            yield item


def set_of(items: Iterator[Any]) -> set[Any]:
    """The set of what a comprehension gives, within the cap."""
    made: set[Any] = set()
    for item in items:
        made.add(item)
        check_items(len(made))
    account(OF_A_SET * len(made))
    return made


def dict_of_pairs(items: Iterator[tuple[Any, Any]]) -> dict[Any, Any]:
    """The dict of what a comprehension gives, within the cap."""
    made: dict[Any, Any] = {}
    for key, value in items:
        made[key] = value
        check_items(len(made))
    account(OF_A_SET * len(made))
    return made
