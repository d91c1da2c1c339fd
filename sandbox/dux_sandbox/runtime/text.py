"""Values as text, within a cap and without running anything of the values' own."""

from __future__ import annotations

import math
import string
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch

from dux_sandbox.language import vocabulary
from dux_sandbox.language.constants import wide
from dux_sandbox.runtime.budget import spend
from dux_sandbox.runtime.nestable import MAPPINGS, Deque

_PLAIN: frozenset[type] = frozenset(
    [int, float, bool, str, type(None), complex, torch.Size, torch.dtype, torch.device]
)
_TENSORS: frozenset[type] = frozenset([torch.Tensor, torch.nn.Parameter])
_BRACKETS: dict[type, str] = {
    list: "[]",
    tuple: "()",
    set: "{}",
    frozenset: "{}",
    deque: "[]",
    Deque: "[]",
}
_MOST_ITEMS = 2_000
_MOST_DEPTH = 5
# torch shows at most this many numbers of one dimension, or a whole dimension that
# is no longer; of many short dimensions it would show all.
_OF_A_DIMENSION = 7
_MOST_NUMBERS = 10_000


def check_length(characters: int) -> None:
    """Refuse a text of more than `vocabulary.ITEMS` characters.

    Raises:
        ValueError: it is longer, or one too many in this step.
    """
    if characters > vocabulary.ITEMS:
        raise ValueError(
            f"a text of {characters} characters; at most {vocabulary.ITEMS}; shorten it"
        )
    spend(characters)


def of_plain(value: object) -> str:
    """str() of a plain value or tensor; of a tensor of many dimensions its shape."""
    if isinstance(value, torch.Tensor):
        shown = math.prod(min(size, _OF_A_DIMENSION) for size in value.shape)
        if min(shown, value.numel()) > _MOST_NUMBERS:
            return f"<tensor of shape {tuple(value.shape)}>"
    return str(value)


class _Budget:
    """How many items and characters may still be shown."""

    def __init__(self) -> None:
        self.items = _MOST_ITEMS
        self.characters = vocabulary.ITEMS

    def of(self, text: str) -> str:
        """`text`, or its beginning where there is no room for more."""
        if len(text) > self.characters:
            text = text[: max(self.characters, 0)] + "..."
        self.characters -= len(text)
        return text


def _quoted(value: object, left: _Budget, depth: int = 0) -> str:
    """repr of plain values and of containers of them; a type's name for the rest."""
    kind = type(value)
    left.items -= 1
    if isinstance(value, str):
        return left.of(repr(value[: max(left.characters, 0) + 1]))
    if kind in _PLAIN or kind in _TENSORS:
        return left.of(of_plain(value) if kind in _TENSORS else repr(value))
    if depth >= _MOST_DEPTH or left.items <= 0 or left.characters <= 0:
        return "..."
    if kind in MAPPINGS:
        assert isinstance(value, dict)
        pairs = []
        for key, item in value.items():
            if left.items <= 0 or left.characters <= 0:
                pairs.append("...")
                break
            shown = _quoted(key, left, depth + 1)
            pairs.append(f"{shown}: {_quoted(item, left, depth + 1)}")
        return "{" + ", ".join(pairs) + "}"
    brackets = _BRACKETS.get(kind)
    if brackets is None:
        return f"<{kind.__name__}>"
    parts = []
    for item in value:  # type: ignore[attr-defined]
        if left.items <= 0 or left.characters <= 0:
            parts.append("...")
            break
        parts.append(_quoted(item, left, depth + 1))
    if kind is tuple and len(parts) == 1:
        parts.append("")
        return "(" + ", ".join(parts).rstrip() + ")"
    return brackets[0] + ", ".join(parts) + brackets[1]


def quoted(value: object) -> str:
    """repr(value), capped; objects of the source's own show their type's name."""
    return _quoted(value, _Budget())


def plain(value: object) -> str:
    """str(value), capped; of an exception its arguments."""
    kind = type(value)
    if kind in _PLAIN or kind in _TENSORS:
        return of_plain(value)
    for _ in range(_MOST_DEPTH):
        if not isinstance(value, BaseException):
            break
        value = value.args[0] if len(value.args) == 1 else value.args
        if type(value) in _PLAIN or type(value) in _TENSORS:
            return of_plain(value)
    return quoted(value)


def format_value(value: object, conversion: int = -1, spec: str = "") -> str:
    """What stands in an f-string for `{value!r:spec}`.

    Args:
        conversion: -1 for none, or the ordinal of "s", "r" or "a", as in the syntax
            tree.

    Raises:
        ValueError: the width is over `vocabulary.FORMAT_WIDTH`.
    """
    if wide(spec):
        raise ValueError(
            f"a format width over {vocabulary.FORMAT_WIDTH}; use a small one: .3f"
        )
    if conversion == 115:
        shown = format(plain(value), spec)
    elif conversion in (114, 97):
        shown = format(quoted(value), spec)
    elif type(value) in _PLAIN or (type(value) in _TENSORS and spec):
        shown = format(value, spec)
    else:
        shown = format(plain(value), spec)
    check_length(len(shown))
    return shown


def builtin_format(value: object, spec: str = "") -> str:
    """The builtin `format(value, spec)`."""
    if type(spec) is not str:
        raise TypeError("format wants its second argument as a string")
    return format_value(value, -1, spec)


def joined(*parts: str) -> str:
    """The parts of an f-string as one text."""
    check_length(sum(map(len, parts)))
    return "".join(parts)


class _Formatter(string.Formatter):
    """`"{} {name:.3f}".format(...)` without fields that reach into values."""

    def __init__(self) -> None:
        self._length = 0

    def get_field(
        self, field_name: str, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        if "." in field_name or "[" in field_name:
            raise ValueError(f"format field {field_name!r}; name the value itself")
        return super().get_field(field_name, args, kwargs)

    def format_field(self, value: Any, format_spec: str) -> str:
        shown = format_value(value, -1, format_spec)
        self._length += len(shown)
        check_length(self._length)
        return shown

    def convert_field(self, value: Any, conversion: Any) -> Any:
        if conversion is None:
            return value
        return plain(value) if conversion == "s" else quoted(value)


def format_literal(text: str, /, *arguments: Any, **options: Any) -> str:
    """`text.format(...)` of a literal, which the static check has seen."""
    return _Formatter().vformat(text, arguments, options)


def shown_in_format(value: object) -> object:
    """A number or string as it is, anything else as text."""
    return value if type(value) in _PLAIN else plain(value)


def lengths_of(values: Iterable[object]) -> int:
    """How many characters these strings have together."""
    return sum(len(value) for value in values if isinstance(value, str))
