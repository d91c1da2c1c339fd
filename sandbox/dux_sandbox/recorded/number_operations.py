"""The operations on Python's numbers: what a rule counts beside its tensors."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from functools import wraps
from types import MappingProxyType
from typing import Any

Number = float | int | bool
MOST_BITS = 4096
"""The widest integer that a program may make; as in `language.vocabulary`."""


def _bounded(apply: Callable[..., Any]) -> Callable[..., Any]:
    """Python's own, with integers no wider than `MOST_BITS`.

    Raises:
        OverflowError: the result would be wider.
    """

    @wraps(apply)
    def bounded(*numbers: Any) -> Any:
        made = apply(*numbers)
        if type(made) is int and made.bit_length() > MOST_BITS:
            raise OverflowError(f"an integer of more than {MOST_BITS} bits")
        return made

    return bounded


def unbounded(operation: Callable[..., Any]) -> Callable[..., Any]:
    """The same for results that are no integers, which have no bound."""
    own: Callable[..., Any] = getattr(operation, "__wrapped__", operation)
    return own


def _power(base: Number, exponent: Number) -> Number:
    if type(base) is float and base > 0:
        return base**exponent
    if isinstance(base, int) and isinstance(exponent, int) and exponent > 0:
        if base.bit_length() * exponent > MOST_BITS:
            raise OverflowError(f"an integer of more than {MOST_BITS} bits")
    made = base**exponent
    if isinstance(made, complex):
        raise ValueError(f"{base} ** {exponent} is no real number")
    return made


def _pick(asked: bool, one: Number, other: Number) -> Number:
    return one if asked else other


def ranked(*numbers: Number, rank: int, reverse: bool) -> Number:
    """The number that stands at a place when all of them are sorted.

    >>> ranked(3, 1.0, 2, rank=0, reverse=True)
    3
    """
    return sorted(numbers, reverse=reverse)[rank]


def _rounded(number: Number, digits: int) -> Number:
    if abs(digits) > 300:
        raise OverflowError(f"round to {digits} digits; at most 300")
    return round(number, digits)


def _is_int(number: Number) -> bool:
    return isinstance(number, int)


_SAME: dict[str, Callable[..., Any]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "floordiv": operator.floordiv,
    "mod": operator.mod,
    "pow": _power,
    "neg": operator.neg,
    "pos": operator.pos,
    "abs": abs,
    "min": min,
    "max": max,
    "round": _rounded,
}
"""Whose results may be of either kind: see `TWO`."""
_TO_BOOL: dict[str, Callable[..., Any]] = {
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
    "eq": operator.eq,
    "ne": operator.ne,
    "bool": bool,
    "not": operator.not_,
    "isnan": math.isnan,
    "isinf": math.isinf,
    "isfinite": math.isfinite,
    "is_int": _is_int,
}
_TO_INT: dict[str, Callable[..., Any]] = {
    "int": int,
    "ceil": math.ceil,
    "floor": math.floor,
    "trunc": math.trunc,
    "and": operator.and_,
    "or": operator.or_,
    "xor": operator.xor,
    "rshift": operator.rshift,
    "round_to_int": round,
}
_TO_FLOAT: dict[str, Callable[..., Any]] = {
    "div": operator.truediv,
    "float": float,
    **{
        name: getattr(math, name)
        for name in (
            *("acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "cbrt"),
            *("copysign", "cos", "cosh", "degrees", "erf", "erfc", "exp", "exp2"),
            *("expm1", "fabs", "fmod", "gamma", "hypot", "ldexp", "lgamma", "log"),
            *("log10", "log1p", "log2", "nextafter", "radians", "remainder"),
            *("sin", "sinh", "sqrt", "tan", "tanh"),
        )
        if hasattr(math, name)
    },
    "powf": math.pow,
}
RANKED = MappingProxyType({"rank": "int", "reverse": "bool"})
"""The attributes of `ranked`, and their kinds."""
THREE = frozenset(["pick"])
"""A boolean, what it is where that is true, and else."""
TWO = frozenset(
    [
        *("add", "sub", "mul", "floordiv", "mod", "pow", "min", "max", "round"),
        *("lt", "le", "gt", "ge", "eq", "ne", "div", "atan2", "copysign", "fmod"),
        *("hypot", "ldexp", "nextafter", "remainder", "powf"),
        *("and", "or", "xor", "rshift"),
    ]
)
"""Those of two numbers; but for `THREE` the others have one, `log` may have a base."""

MEANINGS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        **{name: _bounded(meaning) for name, meaning in (_SAME | _TO_INT).items()},
        **_TO_BOOL,
        **_TO_FLOAT,
        "pick": _pick,
    }
)


def kind_of_result(name: str, kinds: list[str]) -> str:
    """The kind of number that an operation gives for arguments of these kinds.

    Where it hangs on values (`2 ** -1`, the `min` of an int and a float) it is
    "number".

    >>> kind_of_result("add", ["int", "float"]), kind_of_result("min", ["int", "float"])
    ('float', 'number')
    >>> kind_of_result("and", ["bool", "bool"])
    'bool'
    """
    if name in _TO_BOOL:
        return "bool"
    if name in ("and", "or", "xor") and set(kinds) == {"bool"}:
        return "bool"
    if name in _TO_INT:
        return "int"
    if name in _TO_FLOAT:
        return "float"
    if name in ("min", "max", "ranked"):
        return kinds[0] if len(set(kinds)) == 1 else "number"
    if name in THREE:
        return kinds[1] if kinds[1] == kinds[2] else "number"
    if "float" in kinds:
        return "float"
    if "number" in kinds:
        return "number"
    return "number" if name == "pow" else "int"


FAILS: Mapping[str, tuple[str, int, int]] = MappingProxyType(
    {
        **dict.fromkeys(["div", "floordiv", "mod", "fmod"], ("eq", 1, 0)),
        **dict.fromkeys(["log", "log2", "log10"], ("le", 0, 0)),
        "sqrt": ("lt", 0, 0),
        "log1p": ("le", 0, -1),
    }
)
"""Where these raise, in so far as it can be told: the comparison of one argument with a
number that is true then."""
NEVER_FAIL = frozenset(
    [
        *("add", "sub", "mul", "neg", "pos", "abs", "min", "max", "bool", "not"),
        *("lt", "le", "gt", "ge", "eq", "ne", "isnan", "isinf", "isfinite", "is_int"),
        *("float", "copysign", "atan", "tanh", "pick"),
    ]
)
"""Those that raise for no numbers that a rule has."""
