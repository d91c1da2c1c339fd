"""Python's builtins as a rule gets them: capped, bounded, and without a way in."""

from __future__ import annotations

import builtins
import collections
import collections.abc
import functools
import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from types import GeneratorType
from typing import Any

import torch

from dux_sandbox.language import python_names, vocabulary
from dux_sandbox.runtime import arithmetic, text
from dux_sandbox.runtime.arithmetic import check_items
from dux_sandbox.runtime.standins import INERT, StandIn, kind_of, real_class

# What may be iterated, by exact type: nothing here runs code of the source's own but
# generators, whose frames stay out of reach.
ITERABLE: frozenset[type] = frozenset(
    [
        *(list, tuple, dict, set, frozenset, str, range, enumerate, zip, map, filter),
        *(reversed, GeneratorType, collections.deque, collections.defaultdict),
        *(collections.OrderedDict, torch.Tensor, torch.nn.Parameter, torch.Size),
        *(itertools.chain, itertools.islice, itertools.accumulate, itertools.starmap),
        *(itertools.takewhile, itertools.dropwhile, itertools.zip_longest),
        itertools.pairwise,
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


def iterable(items: Any) -> Any:
    """`items` itself, if its exact type may be iterated.

    Raises:
        TypeError: it may not.
    """
    if type(items) in ITERABLE:
        return items
    if isinstance(items, tuple) and type(items).__module__ == "torch.return_types":
        return items
    raise TypeError(f"a {type(items).__name__} cannot be iterated in a rule")


def bounded(items: Any) -> Any:
    """`items`, or a list of them where their number is not known, within the cap.

    Raises:
        ValueError: more than `vocabulary.ITEMS` of them.
    """
    iterable(items)
    if hasattr(type(items), "__len__"):
        check_items(len(items))
        return items
    taken = list(itertools.islice(items, vocabulary.ITEMS + 1))
    check_items(len(taken))
    return taken


def _collecting(kind: Callable[..., Any]) -> Callable[..., Any]:
    def build(*items: Any) -> Any:
        return kind(*(bounded(part) for part in items))

    return build


def _dict(kind: Callable[..., Any] = dict) -> Callable[..., Any]:
    def build(*items: Any, **options: Any) -> Any:
        return kind(*(bounded(part) for part in items), **options)

    return build


def _defaultdict(factory: Any = None, *items: Any, **options: Any) -> Any:
    # A real class as factory: a stand-in would not survive a pickled state.
    if type(factory) is StandIn:
        factory = kind_of(factory)
    parts = (bounded(part) for part in items)
    return collections.defaultdict(factory, *parts, **options)


def _deque(items: Any = (), maxlen: Any = None) -> Any:
    return collections.deque(bounded(items), maxlen)


def _range(*arguments: Any) -> range:
    made = range(*arguments)
    # len() itself overflows on the largest ranges.
    longest = abs(made.stop - made.start) // abs(made.step)
    check_items(longest)
    return made


def _str(value: Any = "") -> str:
    return text.plain(value)


def _sum(items: Any, start: Any = 0) -> Any:
    total = start
    for item in iterable(items):
        total = arithmetic.add(total, item)
    return total


def _prod(items: Any, *, start: Any = 1) -> Any:
    total = start
    for item in iterable(items):
        total = arithmetic.mul(total, item)
    return total


def _isinstance(value: Any, asked: Any) -> bool:
    return isinstance(value, real_class(asked))


def _issubclass(kind: Any, asked: Any) -> bool:
    return issubclass(real_class(kind), real_class(asked))


def _iter(items: Any) -> Iterator[Any]:
    found: Iterator[Any] = iter(iterable(items))
    return found


def _sorted(items: Any, *, key: Any = None, reverse: bool = False) -> list[Any]:
    return sorted(bounded(items), key=key, reverse=reverse)


def _reversed(items: Any) -> Iterator[Any]:
    found: Iterator[Any] = reversed(iterable(items))
    return found


def _print(*values: Any, **options: Any) -> None:
    """Printed text goes nowhere: a channel to the trainer must not be spoofed."""


def _round(number: Any, digits: Any = None) -> Any:
    if isinstance(digits, int) and abs(digits) > 300:
        raise OverflowError(f"round to {digits} digits; at most 300")
    return round(number, digits)


def _small(function: Callable[..., int]) -> Callable[..., int]:
    def compute(*arguments: Any) -> int:
        if any(abs(a) > 1_000 for a in arguments):
            raise OverflowError(
                f"{function.__name__} of more than 1000; use math.lgamma"
            )
        return function(*arguments)

    return compute


def _lcm(*arguments: int) -> int:
    total = 1
    for argument in arguments:
        divisor = math.gcd(total, argument)
        total = arithmetic.mul(total, argument // divisor) if divisor else 0
    return abs(total)


def _partial(function: Any, /, *arguments: Any, **options: Any) -> Any:
    if not callable(function):
        raise TypeError("functools.partial wants a function")
    return functools.partial(function, *arguments, **options)


def _reduce(function: Any, items: Any, *initial: Any) -> Any:
    return functools.reduce(function, iterable(items), *initial)


def _fromkeys(keys: Any, value: Any = None) -> dict[Any, Any]:
    return dict.fromkeys(bounded(keys), value)


def _from_iterable(items: Any) -> Iterable[Any]:
    return itertools.chain.from_iterable(iterable(part) for part in iterable(items))


# The classes of Python a rule names: real ones where calling them is harmless.
CLASSES: dict[str, StandIn] = {
    "list": StandIn(list, _collecting(list)),
    "tuple": StandIn(tuple, _collecting(tuple)),
    "set": StandIn(set, _collecting(set)),
    "frozenset": StandIn(frozenset, _collecting(frozenset)),
    "dict": StandIn(dict, _dict(), {"fromkeys": _fromkeys}),
    "str": StandIn(str, _str),
    "range": StandIn(range, _range),
}
# Real ones: their calls build small values, and their attributes are denied.
_REAL: frozenset[type] = frozenset([int, float, complex, bool, slice, object])

COLLECTIONS: dict[str, Any] = {
    "OrderedDict": StandIn(
        collections.OrderedDict, _dict(collections.OrderedDict), {"fromkeys": _fromkeys}
    ),
    "defaultdict": StandIn(collections.defaultdict, _defaultdict),
    "deque": StandIn(collections.deque, _deque),
}
COLLECTIONS_ABC: dict[str, Any] = {
    name: StandIn(getattr(collections.abc, name), None)
    for name in python_names.COLLECTIONS_ABC
}
_OWN_MATH: dict[str, Any] = {
    "comb": _small(math.comb),
    "factorial": _small(math.factorial),
    "lcm": _lcm,
    "prod": _prod,
}
MATH: dict[str, Any] = {
    name: getattr(math, name) for name in python_names.MATH if hasattr(math, name)
} | _OWN_MATH
TYPING: dict[str, Any] = {
    **dict.fromkeys(python_names.TYPING, INERT),
    "TYPE_CHECKING": False,
    "cast": lambda kind, value: value,
}
FUNCTOOLS: dict[str, Any] = {"partial": _partial, "reduce": _reduce}


def _lazily(kind: Any) -> Callable[..., Any]:
    def build(*arguments: Any, **options: Any) -> Any:
        checked = (a if callable(a) or a is None else _maybe(a) for a in arguments)
        return kind(*checked, **options)

    return build


def _maybe(value: Any) -> Any:
    return value if isinstance(value, int) else iterable(value)


ITERTOOLS: dict[str, Any] = {
    name: _lazily(getattr(itertools, name)) for name in python_names.ITERTOOLS
}
ITERTOOLS["chain"] = StandIn(
    itertools.chain, _lazily(itertools.chain), {"from_iterable": _from_iterable}
)

# Builtins by name; those that need the guards are added beside them, in `guards`.
_OWN_BUILTINS: dict[str, Any] = {
    **CLASSES,
    "format": text.builtin_format,
    "isinstance": _isinstance,
    "issubclass": _issubclass,
    "iter": _iter,
    "pow": arithmetic.power,
    "print": _print,
    "repr": text.quoted,
    "reversed": _reversed,
    "round": _round,
    "sorted": _sorted,
    "sum": _sum,
}
BUILTINS: dict[str, Any] = {
    name: getattr(builtins, name) for name in python_names.BUILTINS
} | _OWN_BUILTINS


def stand_in_for(kind: type) -> Any:
    """What `type(x)` gives a rule for a class of Python's own, or None."""
    return kind if kind in _REAL else _BY_KIND.get(kind)


_BY_KIND: dict[type, Any] = {
    kind_of(standin): standin
    for standin in (*CLASSES.values(), *COLLECTIONS.values())
    if isinstance(standin, StandIn)
} | {type(None): StandIn(type(None), lambda: None)}
