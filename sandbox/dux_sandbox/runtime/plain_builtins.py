"""Python's builtins as a rule gets them: capped, bounded, and without a way in."""

from __future__ import annotations

import builtins
import collections
import collections.abc
import functools
import itertools
import math
import operator
from collections.abc import Callable, Iterator
from typing import Any

from dux_sandbox.language import python_names
from dux_sandbox.runtime import arithmetic, comparing, text
from dux_sandbox.runtime.budget import account, check_items
from dux_sandbox.runtime.collecting import (
    chained,
    chained_from,
    collecting,
    defaultdict_of,
    deque_of,
    dict_of,
    fromkeys,
    hashing,
)
from dux_sandbox.runtime.iteration import bounded, counted, iterable
from dux_sandbox.runtime.nestable import Deque, iterator, keep
from dux_sandbox.runtime.nesting import check_key, check_nested
from dux_sandbox.runtime.standins import INERT, StandIn, kind_of, real_class


def _range(*arguments: Any) -> range:
    made = range(*arguments)
    # len() itself overflows on the largest ranges.
    longest = abs(made.stop - made.start) // abs(made.step)
    check_items(longest)
    return made


def _slice(*places: Any) -> slice:
    # C code hashes and frees a slice inside a slice inside a slice level by level.
    if not all(place is None or hasattr(type(place), "__index__") for place in places):
        raise TypeError("slice wants whole numbers, or None")
    return slice(*places)


def plainly(function: Any) -> Any:
    """`function`, if it is None or a function, and no wrapper of another one.

    Raises:
        TypeError: it is not.
    """
    if function is None or (callable(function) and not isinstance(function, _WRAPPERS)):
        return function
    raise TypeError("property, staticmethod and classmethod want a plain function")


_WRAPPERS = (property, staticmethod, classmethod)


def _property(
    fget: Any = None, fset: Any = None, fdel: Any = None, doc: Any = None
) -> property:
    if doc is not None and type(doc) is not str:
        raise TypeError("a property's doc is a string")
    return property(plainly(fget), plainly(fset), plainly(fdel), doc)


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


def _all(items: Any) -> bool:
    return all(counted(items))


def _any(items: Any) -> bool:
    return any(counted(items))


def _next(items: Any, *default: Any) -> Any:
    # Through a Python frame: C code could call itself without end by map(next, ...).
    return next(iterable(items), *default)


def _extreme(function: Callable[..., Any]) -> Callable[..., Any]:
    def find(*values: Any, key: Any = None, **default: Any) -> Any:
        if (
            len(values) == 2
            and key is None
            and comparing.CALM.issuperset(map(type, values))
        ):
            return function(*values)
        listed = list(bounded(values[0])) if len(values) == 1 else list(values)
        return comparing.extreme(function, listed, key, *default.values())

    return find


def _hash(value: Any) -> int:
    return hash(check_key(value))


def _isinstance(value: Any, asked: Any) -> bool:
    if type(asked) is tuple:
        check_nested(asked)
    return isinstance(value, real_class(asked))


def _issubclass(kind: Any, asked: Any) -> bool:
    return issubclass(real_class(kind), real_class(asked))


def _iter(items: Any) -> Iterator[Any]:
    found: Iterator[Any] = iter(iterable(items))
    return found


def _sorted(items: Any, *, key: Any = None, reverse: bool = False) -> list[Any]:
    return comparing.ordered(list(bounded(items)), key, reverse)


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


def _modest(function: Callable[..., int]) -> Callable[..., int]:
    """Their time grows with the square of an integer's size."""

    def compute(*arguments: int) -> int:
        for argument in arguments:
            arithmetic.check_bits(int(argument).bit_length())
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


# The classes of Python a rule names: real ones where calling them is harmless.
CLASSES: dict[str, StandIn] = {
    "list": StandIn(list, collecting(list)),
    "tuple": StandIn(tuple, collecting(tuple)),
    "set": StandIn(set, hashing(set)),
    "frozenset": StandIn(frozenset, hashing(frozenset)),
    "dict": StandIn(dict, dict_of(), {"fromkeys": fromkeys}),
    "str": StandIn(str, _str),
    "range": StandIn(range, _range),
    "slice": StandIn(slice, _slice),
    "property": StandIn(property, _property),
    "staticmethod": StandIn(staticmethod, lambda f: staticmethod(plainly(f))),
    "classmethod": StandIn(classmethod, lambda f: classmethod(plainly(f))),
}
# Real ones: their calls build small values, and their attributes are denied.
_REAL: frozenset[type] = frozenset([int, float, complex, bool, object])

COLLECTIONS: dict[str, Any] = {
    "OrderedDict": StandIn(
        collections.OrderedDict,
        dict_of(collections.OrderedDict),
        {"fromkeys": fromkeys},
    ),
    "defaultdict": StandIn(collections.defaultdict, defaultdict_of),
    "deque": StandIn(collections.deque, deque_of),
}
COLLECTIONS_ABC: dict[str, Any] = {
    name: StandIn(getattr(collections.abc, name), None)
    for name in python_names.COLLECTIONS_ABC
}
_OWN_MATH: dict[str, Any] = {
    "comb": _small(math.comb),
    "dist": lambda p, q: math.dist(list(bounded(p)), list(bounded(q))),
    "factorial": _small(math.factorial),
    "fsum": lambda items: math.fsum(bounded(items)),
    "gcd": _modest(math.gcd),
    "isqrt": _modest(math.isqrt),
    "lcm": _lcm,
    "prod": _prod,
}
MATH: dict[str, Any] = {
    name: getattr(math, name) for name in python_names.MATH if hasattr(math, name)
} | _OWN_MATH
TYPING: dict[str, Any] = {
    **dict.fromkeys(python_names.TYPING, INERT),
    **{
        name: StandIn(kind, None)
        for name, kind in {
            "Dict": dict,
            "FrozenSet": frozenset,
            "List": list,
            "Set": set,
            "Text": str,
            "Tuple": tuple,
        }.items()
    },
    "DefaultDict": COLLECTIONS["defaultdict"],
    "Deque": COLLECTIONS["deque"],
    "OrderedDict": COLLECTIONS["OrderedDict"],
    **COLLECTIONS_ABC,
    "TYPE_CHECKING": False,
    "cast": lambda kind, value: value,
}
FUNCTOOLS: dict[str, Any] = {"partial": _partial, "reduce": _reduce}


def _accumulate(items: Any, func: Any = None, *, initial: Any = None) -> Any:
    # Python's own addition would let texts and tensors grow.
    add = arithmetic.add if func is None else func
    return iterator("accumulate", iterable(items), add, initial=initial)


def _lazily(name: str) -> Callable[..., Any]:
    def build(*arguments: Any, **options: Any) -> Any:
        checked = (a if callable(a) or a is None else _maybe(a) for a in arguments)
        made = iterator(name, *checked, **options)
        if name in _WIDE and len(arguments) > _FEW:
            return keep(_each_counted(made, len(arguments)))
        return made

    return build


# Whose items are as long as there are iterables; a few are not worth counting.
_WIDE = frozenset(["map", "zip", "zip_longest"])
_FEW = 8


def _each_counted(items: Iterator[Any], length: int) -> Iterator[Any]:
    for item in items:
        account(length)
        yield item


def _maybe(value: Any) -> Any:
    return value if isinstance(value, int) else iterable(value)


def _repeat(object: Any, times: Any = None) -> list[Any]:
    """`itertools.repeat` as a list: its end must be known.

    Raises:
        TypeError: `times` is missing, or no whole number.
        ValueError: it is beyond the cap.
    """
    if not hasattr(type(times), "__index__"):
        raise TypeError("repeat wants to know how many times: repeat(x, n)")
    repeated: list[Any] = arithmetic.mul([object], operator.index(times))
    return repeated


ITERTOOLS: dict[str, Any] = {
    name: _lazily(name)
    for name in python_names.ITERTOOLS
    if name not in ("accumulate", "chain", "repeat")
}
ITERTOOLS["accumulate"] = _accumulate
ITERTOOLS["repeat"] = _repeat
ITERTOOLS["chain"] = StandIn(itertools.chain, chained, {"from_iterable": chained_from})

# Builtins by name; those that need the guards are added beside them, in `guards`.
_OWN_BUILTINS: dict[str, Any] = {
    **CLASSES,
    **{name: _lazily(name) for name in ("enumerate", "filter", "map", "zip")},
    "all": _all,
    "any": _any,
    "divmod": arithmetic.divmod_of,
    "format": text.builtin_format,
    "hash": _hash,
    "isinstance": _isinstance,
    "issubclass": _issubclass,
    "iter": _iter,
    "max": _extreme(max),
    "min": _extreme(min),
    "next": _next,
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
} | {type(None): StandIn(type(None), lambda: None), Deque: COLLECTIONS["deque"]}
