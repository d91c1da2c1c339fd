"""Where each parameter and its gradient lie in the memory that a child can see.

Parameters that share memory (tied by their data, overlapping views) share it there
too, so that a rule which steps one of them steps the others, as it would here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

from dux_sandbox.findings import CannotRunSo
from dux_sandbox.values import DTYPE_NAMES, DTYPES

ALIGN = 64  # bytes; one cache line, and enough for any vector load


class CannotMirror(CannotRunSo, ValueError):
    """No process can be shown these parameters; says why and what to do."""


@dataclass(frozen=True)
class Place:
    """Where one parameter and its gradient lie.

    Attributes:
        shape: sizes, of both. dtype: name, of both.
        stride, grad_stride: elements, of the values and of the gradient.
        at, grad_at: byte offsets of the values and of the gradient.
    """

    shape: tuple[int, ...]
    dtype: str
    stride: tuple[int, ...]
    at: int
    grad_stride: tuple[int, ...]
    grad_at: int

    def as_list(self) -> list[Any]:
        """Plain data for the child."""
        return [
            list(self.shape),
            self.dtype,
            list(self.stride),
            self.at,
            list(self.grad_stride),
            self.grad_at,
        ]

    @classmethod
    def of(cls, row: list[Any]) -> Place:
        """The place that `as_list` described."""
        shape, dtype, stride, at, grad_stride, grad_at = row
        return cls(tuple(shape), dtype, tuple(stride), at, tuple(grad_stride), grad_at)

    def values(self, block: torch.Tensor) -> torch.Tensor:
        """The parameter's values, a view of `block` (1-d uint8)."""
        return self._view(block, self.at, self.stride)

    def gradient(self, block: torch.Tensor) -> torch.Tensor:
        """The gradient, a view of `block` (1-d uint8)."""
        return self._view(block, self.grad_at, self.grad_stride)

    def _view(
        self, block: torch.Tensor, at: int, stride: tuple[int, ...]
    ) -> torch.Tensor:
        dtype = DTYPES[self.dtype]
        size = _span(self.shape, stride) * dtype.itemsize
        flat = block[at : at + size].view(dtype)
        # Views of one tensor count their changes together; `.data` counts alone.
        return flat.as_strided(self.shape, stride, flat.storage_offset()).data


def reason_against(parameter: torch.Tensor) -> str | None:
    """Why no child can be shown this parameter, as "is sparse"; None if it can."""
    if parameter.layout is not torch.strided:
        return f"is {parameter.layout}"
    if type(parameter.data) is not torch.Tensor:
        return f"is a {type(parameter.data).__name__}"
    if parameter.is_meta:
        return "is on the meta device and holds nothing"
    if parameter.dtype not in DTYPE_NAMES:
        return f"has dtype {parameter.dtype}"
    if _meets_itself(parameter):
        return "overlaps itself"
    return None


def memory_of(parameter: torch.Tensor) -> tuple[Any, ...]:
    """What tells whether a parameter still lies where it lay."""
    strided = parameter.layout is torch.strided
    return (
        parameter.data_ptr() if strided else 0,
        parameter.stride() if strided else (),
        parameter.shape,
        parameter.dtype,
        parameter.device,
    )


def room_for(parameters: list[torch.Tensor]) -> int:
    """Bytes that these parameters and their gradients need where none share memory."""
    return 2 * sum(_rounded(each.numel() * each.element_size()) for each in parameters)


def block_size(parameters: list[torch.Tensor]) -> int:
    """Bytes of the block that these parameters and their gradients are shown in.

    Parameters that share memory now may lie apart later; pages that nobody touches
    cost nothing.
    """
    return max(lay_out(parameters)[1], room_for(parameters), ALIGN)


def lay_out(parameters: list[torch.Tensor]) -> tuple[list[Place], int]:
    """A place for each parameter, and the bytes that all of them need.

    A parameter that fills its memory keeps its strides; one with gaps in it is laid
    out without them, unless another parameter lies in the gaps.
    """
    found: dict[int, tuple[tuple[int, ...], int]] = {}
    at = 0
    for cluster in _clusters(parameters):
        if len(cluster) == 1:
            alone = parameters[cluster[0]]
            found[cluster[0]] = (_close_strides(alone), at)
            at += _rounded(alone.numel() * alone.element_size())
            continue
        extents = [_extent(parameters[index]) for index in cluster]
        origin = min(first for first, _ in extents) // ALIGN * ALIGN
        for index, (first, _) in zip(cluster, extents, strict=True):
            found[index] = (parameters[index].stride(), at + first - origin)
        at += _rounded(max(end for _, end in extents) - origin)
    places = []
    for index, parameter in enumerate(parameters):
        stride, values_at = found[index]
        places.append(
            Place(
                tuple(parameter.shape),
                DTYPE_NAMES[parameter.dtype],
                tuple(stride),
                values_at,
                _close_strides(parameter),
                at,
            )
        )
        at += _rounded(parameter.numel() * parameter.element_size())
    return places, at


def _clusters(parameters: list[torch.Tensor]) -> list[list[int]]:
    """Indices of parameters, those together whose memory meets, each in order."""
    extents = [_extent(parameter) for parameter in parameters]
    by_address = sorted(
        range(len(parameters)),
        key=lambda index: (str(parameters[index].device), extents[index]),
    )
    clusters: list[list[int]] = []
    end, device = 0, None
    for index in by_address:
        first, last = extents[index]
        if clusters and first < min(end, last) and device == parameters[index].device:
            clusters[-1].append(index)
            end = max(end, last)
        else:
            clusters.append([index])
            end, device = last, parameters[index].device
    return sorted(sorted(cluster) for cluster in clusters)


def _extent(parameter: torch.Tensor) -> tuple[int, int]:
    """The first byte of a parameter's memory and the one after its last."""
    first = parameter.data_ptr()
    span = _span(parameter.shape, parameter.stride())
    return first, first + span * parameter.element_size()


def _span(shape: tuple[int, ...], stride: tuple[int, ...]) -> int:
    """Elements of memory from the first to the last of a tensor, both counted."""
    if not math.prod(shape):
        return 0
    steps = zip(shape, stride, strict=True)
    return 1 + sum((size - 1) * step for size, step in steps)


def _close_strides(parameter: torch.Tensor) -> tuple[int, ...]:
    """Its own strides where it has no gaps, else those of a contiguous tensor."""
    if _span(parameter.shape, parameter.stride()) == parameter.numel():
        return tuple(parameter.stride())
    return tuple(torch.empty(parameter.shape, device="meta").stride())


def _meets_itself(tensor: torch.Tensor) -> bool:
    """Whether two elements may lie at one place."""
    reached = 1
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size > 1 and stride < reached:
            return tensor.numel() > 0
        reached += (size - 1) * stride if size > 1 else 0
    return False


def _rounded(size: int) -> int:
    return -(-size // ALIGN) * ALIGN
