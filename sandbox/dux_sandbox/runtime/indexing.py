"""What an index makes of a tensor, before torch does: lists and tensors multiply."""

from __future__ import annotations

import math
from typing import Any

import torch

from dux_sandbox.language import vocabulary
from dux_sandbox.runtime.nesting import check_nested
from dux_sandbox.runtime.shapes import broadcast_shape

_MOST_PARTS = 64


def check_index(tensor: torch.Tensor, key: Any) -> None:
    """Refuse an index that reaches more elements than the cap and than the tensor has.

    Raises:
        ValueError, RecursionError: it does, or it is a list nested too deeply.
    """
    kind = type(key)
    if kind is int or kind is slice or key is None or key is Ellipsis:
        return
    parts = key if kind is tuple else (key,)
    if len(parts) > _MOST_PARTS:
        raise ValueError(f"an index of {len(parts)} parts; at most {_MOST_PARTS}")
    shapes = [_shape(part) for part in parts]
    listed = [shape for shape in shapes if shape is not None]
    if not listed:
        return
    reach = tensor.numel() * math.prod(math.prod(shape) for shape in listed)
    if reach <= vocabulary.ELEMENTS:
        return
    _check_reach(tensor, parts, listed)


def _shape(part: Any) -> tuple[int, ...] | None:
    """The shape of an index that names places one by one; None for any other."""
    if isinstance(part, torch.Tensor):
        if part.dtype is torch.bool or part.dtype is torch.uint8:
            return (part.numel(),)
        return tuple(part.shape)
    if isinstance(part, (list, tuple, range)):
        check_nested(part)
        count = 1
        while isinstance(part, (list, tuple)) and part:
            count *= len(part)
            part = part[0]
        return (count,)
    return None


def _check_reach(
    tensor: torch.Tensor, parts: tuple[Any, ...], listed: list[tuple[int, ...]]
) -> None:
    try:
        reach = math.prod(broadcast_shape(*listed))
    except RuntimeError:
        # A list's shape is guessed as flat: then count every place for itself.
        reach = math.prod(math.prod(shape) for shape in listed)
    sizes = list(tensor.shape)
    taken = sum(_dimensions(part) for part in parts)
    at = 0
    for part in parts:
        if part is Ellipsis:
            at += max(0, len(sizes) - taken)
            continue
        for place in range(at, min(at + _dimensions(part), len(sizes))):
            if type(part) is not slice:
                sizes[place] = 1
        at += _dimensions(part)
    reach *= math.prod(sizes)
    if reach > max(vocabulary.ELEMENTS, tensor.numel()):
        raise ValueError(
            f"an index that reaches {reach} elements; at most {vocabulary.ELEMENTS}"
        )


def _dimensions(part: Any) -> int:
    """How many dimensions of the tensor a part of its index stands for."""
    if part is None or part is Ellipsis or type(part) is bool:
        return 0
    mask = isinstance(part, torch.Tensor) and part.dtype in (torch.bool, torch.uint8)
    return part.ndim if mask else 1
