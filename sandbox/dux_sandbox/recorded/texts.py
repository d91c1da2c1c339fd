"""Texts that a rule makes of symbols: of the numbers themselves, which then must stay.

What is printed, logged or raised goes nowhere, and there any text will do.
"""

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from dux_sandbox.recorded.asides import Asides
from dux_sandbox.recorded.symbols import Symbol
from dux_sandbox.recorded.tape import line_of_rule

_MOST_DEPTH = 6


def showing(plain: Callable[..., str], asides: Asides) -> Callable[..., str]:
    """`str` and its like, for symbols as well."""

    def show(*values: Any, **named: Any) -> str:
        if line_of_rule() in asides.told:
            return "..."
        named = {name: _settled(each) for name, each in named.items()}
        return plain(*map(_settled, values), **named)

    return show


def percent_of(plain: Callable[[Any, Any], Any], asides: Asides) -> Callable[..., Any]:
    """The operator %: with a text on the left it makes a text."""

    def modulo(left: Any, right: Any) -> Any:
        if isinstance(left, str):
            return showing(plain, asides)(left, right)
        return plain(left, right)

    return modulo


def _settled(value: Any, depth: int = 0) -> Any:
    """With plain numbers where symbols stand.

    Raises:
        Unrecordable: nobody knows one of them, or what a tensor holds, or they are in
            a set, whose order hangs on how it was made.
    """
    if isinstance(value, torch.Tensor):
        value = value.sum().item()
        return value.plain() if isinstance(value, Symbol) else value
    if isinstance(value, Symbol):
        return value.settled().plain()
    if isinstance(value, BaseException):
        value.args = _settled(value.args, depth)
        return value
    if depth >= _MOST_DEPTH:
        return value
    inside = partial(_settled, depth=depth + 1)
    if isinstance(value, (list, tuple, deque)):
        kind = tuple if isinstance(value, tuple) else list
        return value if isinstance(value, torch.Size) else kind(map(inside, value))
    if isinstance(value, dict):
        return {inside(key): inside(each) for key, each in value.items()}
    if isinstance(value, (set, frozenset)):
        for each in value:
            if isinstance(each, Symbol):
                raise each.tape.refuse("makes a text of a set of numbers")
    return value
