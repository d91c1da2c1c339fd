"""A rule's own attributes as text and tensors, and back.

A checkpoint has to live through pickle, `torch.load(weights_only=True)` and
`torch.distributed.checkpoint`, which takes nested dicts apart and turns their whole
number keys into places in a list. One text and one list of tensors live through all.
"""

from __future__ import annotations

import base64
import json
from typing import Any

import torch

from dux_graphs.plain_json import read_json
from dux_sandbox.values import MAX_BITS

_DEEPEST = 32
_NONSENSE = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    RuntimeError,
    OverflowError,
)
# By name and not by asking torch for it, which imports parts of itself when asked.
_DTYPES = {
    name: held for name, held in vars(torch).items() if isinstance(held, torch.dtype)
}
_MARK = "~"  # first letter of the names that stand for what JSON does not know


class NotPlain(ValueError):
    """A value that cannot be written down, or a text that nobody wrote so."""


def encode(value: Any) -> tuple[str, list[torch.Tensor]]:
    """`value` as JSON text and the tensors that it refers to by number.

    Knows None, bools, numbers, strings, bytes, lists, tuples, dicts, sets, tensors
    (detached, not cloned), dtypes and devices, to any depth up to 32.

    Raises:
        NotPlain: anything else is in it.

    >>> text, tensors = encode({"betas": (0.9, 0.99)})
    >>> decode(text, tensors)
    {'betas': (0.9, 0.99)}
    """
    tensors: list[torch.Tensor] = []
    return json.dumps(_lower(value, tensors, 0)), tensors


def encode_each(
    values: dict[str, Any], tensors: list[torch.Tensor]
) -> tuple[dict[str, Any], list[str]]:
    """Those entries of `values` that can be written, and the names of the others."""
    kept: dict[str, Any] = {}
    dropped: list[str] = []
    for name, value in values.items():
        before = len(tensors)
        try:
            kept[name] = _lower(value, tensors, 0)
        except NotPlain:
            del tensors[before:]
            dropped.append(name)
    return kept, dropped


def decode(text: str, tensors: list[torch.Tensor]) -> Any:
    """What `encode` was given.

    Raises:
        NotPlain: the text was not written by `encode`.
    """
    try:
        return _raise(read_json(text, nan=True), tensors, 0)
    except _NONSENSE as error:
        raise NotPlain(f"this text was not written by encode: {error}") from None


def decode_each(values: dict[str, Any], tensors: list[torch.Tensor]) -> dict[str, Any]:
    """What `encode_each` kept.

    Raises:
        NotPlain: it was not written by `encode_each`.
    """
    try:
        return {name: _raise(value, tensors, 0) for name, value in values.items()}
    except _NONSENSE as error:
        raise NotPlain(f"this was not written by encode_each: {error}") from None


def _lower(value: Any, tensors: list[torch.Tensor], depth: int) -> Any:
    if depth > _DEEPEST:
        raise NotPlain(f"it is nested deeper than {_DEEPEST}")
    if type(value) is int and value.bit_length() > MAX_BITS:
        raise NotPlain(f"it is an integer of more than {MAX_BITS} bits")
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, torch.Tensor):
        tensors.append(value.detach())
        return {"~tensor": len(tensors) - 1}
    if type(value) is list:
        return [_lower(item, tensors, depth + 1) for item in value]
    if type(value) is torch.Size:
        return {"~size": list(value)}
    if isinstance(value, tuple):
        return {"~tuple": [_lower(item, tensors, depth + 1) for item in value]}
    if isinstance(value, set | frozenset):
        mark = "~set" if isinstance(value, set) else "~frozenset"
        return {mark: [_lower(item, tensors, depth + 1) for item in value]}
    if isinstance(value, dict):
        pairs = [
            [_lower(key, tensors, depth + 1), _lower(item, tensors, depth + 1)]
            for key, item in value.items()
        ]
        return {"~dict": pairs}
    if isinstance(value, bytes):
        return {"~bytes": base64.b64encode(value).decode("ascii")}
    if isinstance(value, complex):
        return {"~complex": [value.real, value.imag]}
    if isinstance(value, torch.dtype):
        return {"~dtype": str(value).removeprefix("torch.")}
    if isinstance(value, torch.device):
        return {"~device": str(value)}
    raise NotPlain(f"a {type(value).__name__} is no plain data")


def _raise(value: Any, tensors: list[torch.Tensor], depth: int) -> Any:
    if depth > 2 * _DEEPEST:
        raise NotPlain("nested too deeply")
    if isinstance(value, list):
        return [_raise(item, tensors, depth + 1) for item in value]
    if not isinstance(value, dict):
        return value
    (mark, held), *rest = value.items()
    if rest or not mark.startswith(_MARK):
        raise NotPlain(f"unknown entry {mark!r}")
    if mark == "~tensor":
        if type(held) is not int or not 0 <= held < len(tensors):
            raise NotPlain(f"there is no tensor {held!r}")
        return tensors[held]
    if mark == "~bytes":
        return base64.b64decode(held)
    if mark == "~complex":
        return complex(*held)
    if mark == "~device":
        return torch.device(held)
    if mark == "~dtype":
        if held not in _DTYPES:
            raise NotPlain(f"{held!r} is no dtype")
        return _DTYPES[held]
    items = [_raise(item, tensors, depth + 1) for item in held]
    if mark == "~dict":
        return dict(items)
    if mark == "~set":
        return set(items)
    if mark == "~frozenset":
        return frozenset(items)
    if mark == "~size":
        return torch.Size(items)
    if mark == "~tuple":
        return tuple(items)
    raise NotPlain(f"unknown entry {mark!r}")
