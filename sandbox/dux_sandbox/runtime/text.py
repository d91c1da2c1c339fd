"""Values as text, within a cap and without running anything of the values' own."""

from __future__ import annotations

import re
import string
from collections import OrderedDict, defaultdict, deque
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from dux_sandbox.language import vocabulary
from dux_sandbox.language.constants import wide

_PLAIN: frozenset[type] = frozenset(
    [int, float, bool, str, type(None), complex, torch.Size, torch.dtype, torch.device]
)
_TENSORS: frozenset[type] = frozenset([torch.Tensor, torch.nn.Parameter])
_BRACKETS: dict[type, str] = {list: "[]", tuple: "()", set: "{}", frozenset: "{}"}
_MAPPINGS: frozenset[type] = frozenset([dict, defaultdict, OrderedDict])
_MOST_ITEMS = 2_000
_MOST_DEPTH = 5
_PERCENT = re.compile(r"%(?:\((\w*)\))?[#0\- +]*(\*|\d*)(?:\.(\*|\d*))?[hlL]?(.)", re.S)


def _quoted(value: object, left: list[int], depth: int = 0) -> str:
    """repr of plain values and of containers of them; a type's name for the rest.

    `left` holds how many items may still be shown, in all containers together.
    """
    kind = type(value)
    left[0] -= 1
    if kind in _PLAIN or kind in _TENSORS:
        return repr(value)
    if depth >= _MOST_DEPTH or left[0] <= 0:
        return "..."
    if kind in _MAPPINGS:
        assert isinstance(value, dict)
        pairs = []
        for key, item in value.items():
            if left[0] <= 0:
                pairs.append("...")
                break
            shown = _quoted(key, left, depth + 1)
            pairs.append(f"{shown}: {_quoted(item, left, depth + 1)}")
        return "{" + ", ".join(pairs) + "}"
    brackets = "[]" if kind is deque else _BRACKETS.get(kind)
    if brackets is None:
        return f"<{kind.__name__}>"
    parts = []
    for item in value:  # type: ignore[attr-defined]
        if left[0] <= 0:
            parts.append("...")
            break
        parts.append(_quoted(item, left, depth + 1))
    if kind is tuple and len(parts) == 1:
        parts.append("")
        return "(" + ", ".join(parts).rstrip() + ")"
    return brackets[0] + ", ".join(parts) + brackets[1]


def quoted(value: object) -> str:
    """repr(value), capped; objects of the source's own show their type's name."""
    return _quoted(value, [_MOST_ITEMS])


def plain(value: object) -> str:
    """str(value), capped; of an exception its arguments."""
    kind = type(value)
    if kind in _PLAIN or kind in _TENSORS:
        return str(value)
    if isinstance(value, BaseException):
        arguments = value.args
        return plain(arguments[0]) if len(arguments) == 1 else quoted(arguments)
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
    elif type(value) in _PLAIN or type(value) in _TENSORS:
        shown = format(value, spec)
    else:
        shown = format(plain(value), spec)
    if len(shown) > vocabulary.ITEMS:
        raise ValueError(f"a text of {len(shown)} characters; shorten it")
    return shown


def builtin_format(value: object, spec: str = "") -> str:
    """The builtin `format(value, spec)`."""
    if type(spec) is not str:
        raise TypeError("format wants its second argument as a string")
    return format_value(value, -1, spec)


class _Formatter(string.Formatter):
    """`"{} {name:.3f}".format(...)` without fields that reach into values."""

    def get_field(
        self, field_name: str, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        if "." in field_name or "[" in field_name:
            raise ValueError(f"format field {field_name!r}; name the value itself")
        return super().get_field(field_name, args, kwargs)

    def format_field(self, value: Any, format_spec: str) -> str:
        return format_value(value, -1, format_spec)

    def convert_field(self, value: Any, conversion: Any) -> Any:
        if conversion is None:
            return value
        return plain(value) if conversion == "s" else quoted(value)


def format_literal(text: str, /, *arguments: Any, **options: Any) -> str:
    """`text.format(...)` of a literal, which the static check has seen."""
    return _Formatter().vformat(text, arguments, options)


def percent(text: str, values: object) -> str:
    """`text % values`, capped, with objects of the source's own by type's name.

    Raises:
        ValueError: a width is over `vocabulary.FORMAT_WIDTH`, or not a literal.
    """
    for _, width, precision, _ in _PERCENT.findall(text):
        if "*" in (width, precision) or wide(f"{width} {precision}"):
            raise ValueError(
                f"a format width that is computed or over "
                f"{vocabulary.FORMAT_WIDTH}; use an f-string"
            )
    if type(values) is tuple:
        return text % tuple(_shown(value) for value in values)
    if type(values) in _MAPPINGS:
        assert isinstance(values, dict)
        return text % {key: _shown(value) for key, value in values.items()}
    return text % (_shown(values),)


def _shown(value: object) -> object:
    """Numbers, strings and tensors as they are, the rest as text."""
    kind = type(value)
    return value if kind in _PLAIN or kind in _TENSORS else plain(value)
