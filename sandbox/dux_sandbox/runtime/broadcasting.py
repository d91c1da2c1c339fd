"""What two tensors make of each other's shapes, before they do."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from typing import Any

import torch

from dux_sandbox.language import vocabulary
from dux_sandbox.runtime.shapes import broadcast_shape


def check_pair(left: torch.Tensor, right: torch.Tensor) -> None:
    """Refuse two tensors whose shapes spread each other out beyond the cap.

    What is no larger than one of them was paid for before.

    Raises:
        ValueError: they would make more than `vocabulary.ELEMENTS` elements.
    """
    if left.shape == right.shape:
        return
    count, other = left.numel(), right.numel()
    if count * other > vocabulary.ELEMENTS:
        _check(max(count, other), left.shape, right.shape)


def check_together(tensors: Iterable[Any]) -> None:
    """`check_pair` for any number of values at once; what is no tensor is left out.

    Raises:
        ValueError: as `check_pair`.
    """
    held = [each for each in tensors if isinstance(each, torch.Tensor)]
    if len(held) < 2:
        return
    counts = [each.numel() for each in held]
    if math.prod(counts) > vocabulary.ELEMENTS:
        _check(max(counts), *{each.shape for each in held})


def check_shapes(tensors: Iterable[torch.Tensor]) -> None:
    """`check_pair` for every two of these tensors.

    Raises:
        ValueError: as `check_pair`.
    """
    shapes = {each.shape for each in tensors}
    for one, other in itertools.combinations(shapes, 2):
        count, more = one.numel(), other.numel()
        if count * more > vocabulary.ELEMENTS:
            _check(max(count, more), one, other)


def _check(largest: int, *shapes: torch.Size) -> None:
    try:
        total = math.prod(broadcast_shape(*shapes))
    except RuntimeError:
        return  # torch will say that they do not fit
    if total > max(largest, vocabulary.ELEMENTS):
        raise ValueError(
            f"shapes {', '.join(str(tuple(shape)) for shape in shapes)} together make "
            f"{total} elements; at most {vocabulary.ELEMENTS}; reduce one of them first"
        )
