"""Operators with a cap: what they make of numbers, sequences and tensors can grow."""

from __future__ import annotations

import operator
from collections import deque
from collections.abc import Callable
from typing import Any

import torch

from dux_sandbox.language import vocabulary
from dux_sandbox.runtime.broadcasting import check_pair
from dux_sandbox.runtime.budget import spend
from dux_sandbox.runtime.percent import percent
from dux_sandbox.runtime.products import check_product

TENSORS: frozenset[type] = frozenset([torch.Tensor, torch.nn.Parameter])
_SEQUENCES = (str, list, tuple, deque)


def check_bits(bits: int) -> None:
    """Refuse an integer of more than `vocabulary.INTEGER_BITS` bits.

    Raises:
        OverflowError: `bits` is over the cap.
    """
    if bits > vocabulary.INTEGER_BITS:
        raise OverflowError(
            f"an integer of about {bits} bits; at most {vocabulary.INTEGER_BITS}; "
            f"use floats"
        )


def add(left: Any, right: Any) -> Any:
    """left + right; sequences, integers and tensors stay within their caps."""
    kind, other = type(left), type(right)
    if kind in TENSORS:
        if other in TENSORS:
            check_pair(left, right)
    elif isinstance(left, _SEQUENCES):
        if isinstance(right, _SEQUENCES):
            spend(len(left) + len(right))
    elif kind is int and other is int:
        check_bits(max(left.bit_length(), right.bit_length()))
    return left + right


def mul(left: Any, right: Any) -> Any:
    """left * right; integers, repeated sequences and tensors stay within their caps."""
    kind, other = type(left), type(right)
    if kind in TENSORS and other in TENSORS:
        check_pair(left, right)
    elif kind is int and other is int:
        check_bits(left.bit_length() + right.bit_length())
    elif isinstance(left, _SEQUENCES):
        spend(len(left) * _times(right))
    elif isinstance(right, _SEQUENCES):
        spend(len(right) * _times(left))
    return left * right


def _times(value: Any) -> int:
    """How often a sequence is repeated; a tensor of one integer counts as one."""
    return operator.index(value) if hasattr(type(value), "__index__") else 0


def power(base: Any, exponent: Any, modulus: Any = None) -> Any:
    """base ** exponent; integers and tensors stay within their caps."""
    if isinstance(base, int) and isinstance(exponent, int) and exponent > 0:
        check_bits(base.bit_length() * exponent)
    elif type(base) in TENSORS and type(exponent) in TENSORS:
        check_pair(base, exponent)
    if modulus is not None:
        return pow(base, exponent, modulus)
    return base**exponent


def left_shift(left: Any, right: Any) -> Any:
    """left << right; integers and tensors stay within their caps."""
    if isinstance(left, int) and isinstance(right, int):
        check_bits(left.bit_length() + max(right, 0))
    elif type(left) in TENSORS and type(right) in TENSORS:
        check_pair(left, right)
    return left << right


def modulo(left: Any, right: Any) -> Any:
    """left % right; with text on the left a safe, capped format."""
    if isinstance(left, str):
        return percent(left, right)
    _check_division(left, right)
    return left % right


def floor_divide(left: Any, right: Any) -> Any:
    """left // right; the time it takes grows with the square of an integer's size."""
    _check_division(left, right)
    return left // right


def divmod_of(left: Any, right: Any) -> Any:
    """The builtin `divmod`, as `floor_divide`."""
    _check_division(left, right)
    return divmod(left, right)


def _check_division(left: Any, right: Any) -> None:
    if isinstance(left, int):
        check_bits(left.bit_length())
    elif type(left) in TENSORS and type(right) in TENSORS:
        check_pair(left, right)


def matrix_multiply(left: Any, right: Any) -> Any:
    """left @ right, within the caps on its size and its work."""
    if type(left) in TENSORS and type(right) in TENSORS:
        check_product(left, right)
    return left @ right


def _plainly(apply: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """An operator that grows nothing but tensors of unlike shapes."""

    def guarded(left: Any, right: Any) -> Any:
        if type(left) in TENSORS and type(right) in TENSORS:
            check_pair(left, right)
        return apply(left, right)

    return guarded


# By the name of the guard that the rewritten source calls.
BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "@add": add,
    "@sub": _plainly(operator.sub),
    "@mul": mul,
    "@div": _plainly(operator.truediv),
    "@floordiv": floor_divide,
    "@mod": modulo,
    "@pow": power,
    "@matmul": matrix_multiply,
    "@lshift": left_shift,
    "@rshift": _plainly(operator.rshift),
    "@and": _plainly(operator.and_),
    "@or": _plainly(operator.or_),
    "@xor": _plainly(operator.xor),
}
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
# Their forms for what does not change in place.
GROWING: dict[str, Callable[[Any, Any], Any]] = {
    "+=": add,
    "-=": BINARY["@sub"],
    "*=": mul,
    "/=": BINARY["@div"],
    "//=": floor_divide,
    "%=": modulo,
    "**=": power,
    "@=": matrix_multiply,
    "&=": BINARY["@and"],
    "|=": BINARY["@or"],
    "^=": BINARY["@xor"],
    "<<=": left_shift,
    ">>=": BINARY["@rshift"],
}
