"""`text % values`, read as Python's C code reads it, and capped before it runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from dux_sandbox.language import vocabulary
from dux_sandbox.runtime.nestable import MAPPINGS
from dux_sandbox.runtime.text import check_length, shown_in_format

_FLAGS = "-+ #0"
# Longest text of a number: a double of 309 digits before its point.
_NUMBER_CHARACTERS = 1_300 + vocabulary.FORMAT_WIDTH
_TENSORS: frozenset[type] = frozenset([torch.Tensor, torch.nn.Parameter])


@dataclass(frozen=True)
class _Field:
    """One `%(key)s`: its key, if any, and its conversion."""

    key: str | None
    conversion: str


def percent(text: str, values: object) -> str:
    """`text % values`, with objects of the source's own by type's name.

    Raises:
        ValueError: a width is over `vocabulary.FORMAT_WIDTH` or not a literal, or the
            text would be longer than `vocabulary.ITEMS`.
    """
    fields = list(_fields(text))
    wanted = {field.key for field in fields if field.key is not None}
    if type(values) in MAPPINGS and (wanted or not fields):
        assert isinstance(values, dict)
        named = {key: _shown(values[key]) for key in wanted if key in values}
        _check(text, fields, [named.get(field.key or "") for field in fields])
        return text % named  # of a key that is missing Python complains
    items = values if type(values) is tuple else (values,)
    assert isinstance(items, tuple)
    shown = tuple(_shown(item) for item in items)
    _check(text, fields, list(shown))
    return text % shown


def _shown(value: object) -> object:
    """A 0-d tensor stays: `%.3f` takes its number."""
    if type(value) in _TENSORS and isinstance(value, torch.Tensor) and not value.dim():
        return value
    return shown_in_format(value)


def _check(text: str, fields: list[_Field], given: list[object]) -> None:
    """Refuse a text that grows beyond the cap; `%r` may escape each character."""
    total = len(text)
    for field, value in zip(fields, given, strict=False):
        if isinstance(value, str):
            total += len(value) * (10 if field.conversion in "ra" else 1)
        else:
            total += _NUMBER_CHARACTERS
    check_length(total)


def _fields(text: str) -> Iterator[_Field]:
    at = text.find("%")
    while at >= 0:
        field, at = _field(text, at + 1)
        if field.conversion != "%":
            yield field
        at = text.find("%", at)


def _field(text: str, at: int) -> tuple[_Field, int]:
    """The field that begins after the percent sign at `at - 1`, and where it ends."""
    key, at = _key(text, at)
    while text[at : at + 1] in _FLAGS and at < len(text):
        at += 1
    at = _width(text, at)
    if text[at : at + 1] == ".":
        at = _width(text, at + 1)
    if text[at : at + 1] and text[at] in "hlL":
        at += 1
    if at >= len(text):
        raise ValueError("incomplete format")
    return _Field(key, text[at]), at + 1


def _key(text: str, at: int) -> tuple[str | None, int]:
    """What stands in brackets, nested ones included, and where it ends."""
    if text[at : at + 1] != "(":
        return None, at
    depth, first = 1, at + 1
    for end in range(first, len(text)):
        depth += {"(": 1, ")": -1}.get(text[end], 0)
        if not depth:
            return text[first:end], end + 1
    raise ValueError("incomplete format key")


def _width(text: str, at: int) -> int:
    """Where the digits of a width or precision end."""
    end = at
    while end < len(text) and text[end] in "0123456789":
        end += 1
    digits = text[at:end]
    far = len(digits) > 4 or (digits and int(digits) > vocabulary.FORMAT_WIDTH)
    if far or text[end : end + 1] == "*":
        raise ValueError(
            f"a format width that is computed or over "
            f"{vocabulary.FORMAT_WIDTH}; use an f-string"
        )
    return end
