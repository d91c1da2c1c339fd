"""Operators by the name of their guard, those between the views of dicts included.

A view takes any iterable on its other side, and makes a set of the two.
"""

from __future__ import annotations

import operator
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from typing import Any

from dux_sandbox.runtime import arithmetic
from dux_sandbox.runtime.arithmetic import TENSORS
from dux_sandbox.runtime.broadcasting import check_pair
from dux_sandbox.runtime.budget import OF_A_SET, account
from dux_sandbox.runtime.collecting import keys

Operator = Callable[[Any, Any], Any]

_EMPTY: tuple[dict[Any, Any], ...] = ({}, OrderedDict())
VIEWS: frozenset[type] = frozenset(
    type(view) for held in _EMPTY for view in (held.keys(), held.items())
)
# A new one is made of two.
_COPIED: frozenset[type] = frozenset([set, frozenset, dict, OrderedDict, defaultdict])


def _of_sets(apply: Operator) -> Operator:
    """An operator that hashes the items of a view, and of what stands beside it."""

    def guarded(left: Any, right: Any) -> Any:
        kind, other = type(left), type(right)
        if kind in TENSORS and other in TENSORS:
            check_pair(left, right)
        elif kind in VIEWS or other in VIEWS:
            return apply(set(keys(left)), set(keys(right)))
        elif kind in _COPIED:
            more = len(right) if other in _COPIED else 0
            account(OF_A_SET * (len(left) + more))
        return apply(left, right)

    return guarded


_GUARDED = {
    "&=": _of_sets(operator.and_),
    "|=": _of_sets(operator.or_),
    "-=": _of_sets(operator.sub),
    "^=": _of_sets(operator.xor),
}
OF_SETS: frozenset[str] = frozenset(_GUARDED)
# The in-place operators for what does not change in place.
GROWING: dict[str, Operator] = {**arithmetic.GROWING, **_GUARDED}
# By the name of the guard that the rewritten source calls.
BINARY: dict[str, Operator] = {
    **arithmetic.BINARY,
    "@and": _GUARDED["&="],
    "@or": _GUARDED["|="],
    "@sub": _GUARDED["-="],
    "@xor": _GUARDED["^="],
}
