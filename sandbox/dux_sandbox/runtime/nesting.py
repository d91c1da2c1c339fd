"""How deep and how large plain values are, asked before C code walks through them.

Hashing a tuple, comparing two lists, making a tensor of a list: C calls itself for
every level, and visits what is shared as often as it is found.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Collection, Iterable
from typing import Any

import torch

from dux_sandbox.language import vocabulary
from dux_sandbox.runtime.arithmetic import TENSORS
from dux_sandbox.runtime.broadcasting import check_shapes
from dux_sandbox.runtime.budget import check_items
from dux_sandbox.runtime.nestable import MAPPINGS, Deque

_SEQUENCES: frozenset[type] = frozenset(
    [list, tuple, set, frozenset, deque, Deque, torch.Size]
    + [type({}.keys()), type({}.values()), type({}.items())]
    + [type(OrderedDict().keys()), type(OrderedDict().values())]
    + [type(OrderedDict().items())]
)
_CONTAINERS: frozenset[type] = MAPPINGS | _SEQUENCES | {slice}
_FOUND = _CONTAINERS | TENSORS
# What is hashed by walking through it; a frozenset keeps the hash it was given.
_WALKED: frozenset[type] = frozenset([tuple, torch.Size, slice])
_FEW_KEYS = 1_000
_MOST_ALIKE = 100
_HASH_MODULUS = 2**61 - 1  # CPython's, for whole numbers on 64-bit systems


def is_container(kind: type) -> bool:
    """Whether C code looks inside a value of this type."""
    return kind in _CONTAINERS or kind.__module__ == "torch.return_types"


def check_nested(value: Any) -> list[Any]:
    """Refuse a container that is too deep or too large; the tensors inside it.

    Raises:
        RecursionError: deeper than `vocabulary.NESTING`.
        ValueError: more than `vocabulary.ITEMS` items, what is shared counted anew.
    """
    tensors: list[Any] = []
    count, level = 0, [value]
    for _ in range(vocabulary.NESTING):
        below: list[Any] = []
        for each in level:
            kind = type(each)
            if kind in TENSORS:
                tensors.append(each)
                continue
            for children in _children(each, kind):
                count += len(children)
                check_items(count)
                if not _FOUND.isdisjoint(map(type, children)):
                    below += [child for child in children if type(child) in _FOUND]
        if not below:
            return tensors
        level = below
    raise RecursionError(
        f"containers nested deeper than {vocabulary.NESTING}; use a flat list"
    )


def _children(value: Any, kind: type) -> Iterable[Collection[Any]]:
    if kind in MAPPINGS:
        return value.keys(), value.values()
    if kind is slice:
        return ((value.start, value.stop, value.step),)
    return (value,) if is_container(kind) else ()


def check_key(key: Any) -> Any:
    """`key` itself, if it may be hashed.

    Raises:
        RecursionError, ValueError: as `check_nested`.
    """
    if type(key) in _WALKED or type(key).__module__ == "torch.return_types":
        check_nested(key)
    return key


def check_keys(keys: Collection[Any]) -> None:
    """Refuse keys that may not be hashed, or of which too many have one hash.

    Raises:
        RecursionError, ValueError: as `check_nested`; or a dict of them would take for
            ever.
    """
    if not _WALKED.isdisjoint(map(type, keys)):
        for key in keys:
            check_key(key)
    if len(keys) <= _FEW_KEYS or all(_is_scattered(key) for key in keys):
        return
    alike: dict[int, set[Any]] = {}
    for key in keys:
        bucket = alike.setdefault(hash(key), set())
        bucket.add(key)
        if len(bucket) > _MOST_ALIKE:
            raise ValueError(
                "many keys that have the same hash; use small integers or strings"
            )


def _is_scattered(key: Any) -> bool:
    kind = type(key)
    return kind is str or (kind is int and abs(key) < _HASH_MODULUS)


def check_comparable(*values: Any) -> None:
    """Refuse values that C code cannot safely compare with each other.

    Raises:
        RecursionError, ValueError: as `check_nested`, or as `check_shapes` for the
            tensors inside.
    """
    tensors: list[Any] = []
    for value in values:
        tensors += check_nested(value)
    check_shapes(tensors)
