"""Operators that can grow, with a cap: `+ * ** <<` and their in-place forms."""

from __future__ import annotations

import operator
from collections import deque
from collections.abc import Callable
from typing import Any

import torch

from dux_sandbox.language import vocabulary
from dux_sandbox.runtime.text import percent

TENSORS: frozenset[type] = frozenset([torch.Tensor, torch.nn.Parameter])
# With one of these on either side nothing grows but a tensor, by torch's own rules.
_CALM = TENSORS | {float, complex}
_SEQUENCES = (str, list, tuple, deque)


def check_items(count: int) -> None:
    """Refuse a sequence of more than `vocabulary.ITEMS` items.

    Raises:
        ValueError: `count` is over the cap.
    """
    if count > vocabulary.ITEMS:
        raise ValueError(
            f"a sequence of {count} items; at most {vocabulary.ITEMS}; "
            f"use a tensor for many numbers"
        )


def _check_bits(bits: int) -> None:
    if bits > vocabulary.INTEGER_BITS:
        raise OverflowError(
            f"an integer of about {bits} bits; at most {vocabulary.INTEGER_BITS}; "
            f"use floats"
        )


def add(left: Any, right: Any) -> Any:
    """left + right; sequences stay within the cap."""
    if type(left) in _CALM or type(right) in _CALM:
        return left + right
    if isinstance(left, _SEQUENCES) and isinstance(right, _SEQUENCES):
        check_items(len(left) + len(right))
    return left + right


def mul(left: Any, right: Any) -> Any:
    """left * right; integers and repeated sequences stay within the cap."""
    kind, other = type(left), type(right)
    if kind in _CALM or other in _CALM:
        return left * right
    if kind is int and other is int:
        _check_bits(left.bit_length() + right.bit_length())
    elif isinstance(left, _SEQUENCES) and isinstance(right, int):
        check_items(len(left) * right)
    elif isinstance(right, _SEQUENCES) and isinstance(left, int):
        check_items(len(right) * left)
    return left * right


def power(base: Any, exponent: Any, modulus: Any = None) -> Any:
    """base ** exponent; integers stay within the cap."""
    if isinstance(base, int) and isinstance(exponent, int) and exponent > 0:
        _check_bits(base.bit_length() * exponent)
    if modulus is not None:
        return pow(base, exponent, modulus)
    return base**exponent


def left_shift(left: Any, right: Any) -> Any:
    """left << right; integers stay within the cap."""
    if isinstance(left, int) and isinstance(right, int):
        _check_bits(left.bit_length() + max(right, 0))
    return left << right


def modulo(left: Any, right: Any) -> Any:
    """left % right; with text on the left a safe, capped format."""
    if isinstance(left, str):
        return percent(left, right)
    return left % right


# The in-place operators. Tensors change in place; for everything else but the mutable
# containers, which `dux_sandbox.runtime.writing` checks first, the two forms are one.
IN_PLACE: dict[str, Callable[[Any, Any], Any]] = {
    "+=": operator.iadd,
    "-=": operator.isub,
    "*=": operator.imul,
    "/=": operator.itruediv,
    "//=": operator.ifloordiv,
    "%=": operator.imod,
    "**=": operator.ipow,
    "@=": operator.imatmul,
    "&=": operator.iand,
    "|=": operator.ior,
    "^=": operator.ixor,
    "<<=": operator.ilshift,
    ">>=": operator.irshift,
}
GROWING: dict[str, Callable[[Any, Any], Any]] = {
    "+=": add,
    "*=": mul,
    "**=": power,
    "<<=": left_shift,
    "%=": modulo,
}
