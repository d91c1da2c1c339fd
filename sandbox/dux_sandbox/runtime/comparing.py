"""Comparisons with a look at both sides first: C code compares what is inside, too."""

from __future__ import annotations

import operator
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from dux_sandbox.runtime.arithmetic import TENSORS
from dux_sandbox.runtime.broadcasting import check_pair
from dux_sandbox.runtime.iteration import counted
from dux_sandbox.runtime.nesting import check_comparable, check_key, is_container

# Comparing one of these with anything else looks inside nothing.
CALM: frozenset[type] = frozenset([int, float, bool, str, type(None), complex])
_HASHED: frozenset[type] = frozenset(
    [dict, defaultdict, OrderedDict, set, frozenset]
) | frozenset([type({}.keys()), type(OrderedDict().keys())])
_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def check_two(left: Any, right: Any) -> None:
    """Refuse two values whose comparison could take too much memory, time or stack.

    Raises:
        ValueError, RecursionError: it could.
    """
    kind, other = type(left), type(right)
    if kind in CALM or other in CALM:
        return
    if kind in TENSORS and other in TENSORS:
        check_pair(left, right)
    elif is_container(kind) and is_container(other):
        check_comparable(left, right)


def compare(name: str, left: Any, right: Any) -> Any:
    """left <name> right, of the six comparisons and `in`, `not in`, `is`, `is not`."""
    if name in _OPERATORS:
        check_two(left, right)
        return _OPERATORS[name](left, right)
    if name in ("is", "is not"):
        return (left is right) is (name == "is")
    return contains(left, right) is (name == "in")


def contains(item: Any, container: Any) -> bool:
    """item in container.

    Raises:
        TypeError: a container of this type may not be iterated.
        ValueError, RecursionError: the comparison could take too much.
    """
    kind = type(container)
    if kind in _HASHED:
        return check_key(item) in container
    if kind in TENSORS:
        check_two(container, item)
    elif kind is not str and is_container(kind):
        if type(item) not in CALM:
            check_comparable(container, item)
    elif kind is not str and kind is not range:
        return any(
            each is item or compare("==", each, item) for each in counted(container)
        )
    found: bool = item in container
    return found


def chain(names: Iterable[str], first: Any, second: Any, *others: Any) -> Any:
    """`a < b < c`: the operands from the third on are functions, called when due."""
    left, right = first, second
    result: Any = True
    for place, name in enumerate(names):
        if place:
            if not result:
                break
            left, right = right, others[place - 1]()
        result = compare(name, left, right)
    return result


def given(operand: Any) -> Callable[[], Any]:
    """For `chain`: an operand that was computed at once."""
    return lambda: operand


def check_order(values: list[Any]) -> None:
    """Refuse values that cannot safely be compared with each other.

    Raises:
        ValueError, RecursionError: they cannot.
    """
    if not CALM.issuperset(map(type, values)):
        check_comparable(values)


def ordered(values: list[Any], key: Any, reverse: Any) -> list[Any]:
    """The values sorted, with the keys computed first and looked at."""
    keys = values if key is None else [key(value) for value in values]
    check_order(keys)
    places = sorted(range(len(keys)), key=keys.__getitem__, reverse=bool(reverse))
    return [values[place] for place in places]


def extreme(
    function: Callable[..., Any], values: list[Any], key: Any, *default: Any
) -> Any:
    """The largest or smallest of the values, as builtin `function` finds it."""
    if not values and default:
        return default[0]
    keys = values if key is None else [key(value) for value in values]
    check_order(keys)
    return values[function(range(len(keys)), key=keys.__getitem__)]
