"""Tensors of which each rank holds a part: DTensors, as FSDP2 makes them.

torch.distributed.tensor is slow to import: it is only where there is one.
"""

import math
from typing import Any

import torch
from torch import nn


def is_sharded(tensor: Any) -> bool:
    """Whether it is a DTensor, of which other ranks hold the rest."""
    return type(tensor).__name__ == "DTensor" and hasattr(tensor, "device_mesh")


@torch.no_grad()
def own_part(tensor: torch.Tensor) -> torch.Tensor:
    """What this rank holds, in the same memory; a whole tensor is that itself."""
    if not is_sharded(tensor):
        return tensor
    part: torch.Tensor = tensor.to_local()  # type: ignore[attr-defined]
    return part


@torch.no_grad()
def gathered(tensor: torch.Tensor) -> torch.Tensor:
    """All of it, a copy; all ranks call this, in the same order."""
    if not is_sharded(tensor):
        return tensor.detach().clone()
    whole: torch.Tensor = tensor.full_tensor()  # type: ignore[attr-defined]
    return whole.detach().clone()


def shape_of(tensor: torch.Tensor) -> torch.Tensor:
    """One of the same shape without data; no other rank is asked."""
    return torch.empty(tensor.shape, dtype=tensor.dtype, device="meta")


def is_fully_sharded(module: nn.Module) -> bool:
    """Whether it is a unit of FSDP2: a class mixed into the module's own."""
    return any(kind.__name__ == "FSDPModule" for kind in type(module).__mro__)


def reshard(model: nn.Module) -> None:
    """Let go of parameters that are whole since a forward pass without a backward one.

    They are copies, which do not follow what is written into the parts.
    """
    for module in filter(is_fully_sharded, model.modules()):
        module.reshard()  # type: ignore[operator]


def as_part_of(part: Any, whole: torch.Tensor) -> Any:
    """A tensor of the shape of this rank's part, as what is sharded like `whole`.

    Anything else, and all of a tensor that is not sharded, is handed back itself.
    """
    if not (is_sharded(whole) and isinstance(part, torch.Tensor) and part.ndim):
        return part
    if part.shape != own_part(whole).shape:
        return part
    from torch.distributed.tensor import DTensor

    sharded: Any = whole
    return DTensor.from_local(
        part,
        sharded.device_mesh,
        sharded.placements,
        run_check=False,
        shape=whole.shape,
        stride=whole.stride(),
    )


def place_of(tensor: torch.Tensor) -> tuple[int, ...]:
    """Which part of it this rank holds: ranks of the same place hold the same."""
    if not is_sharded(tensor):
        return ()
    sharded: Any = tensor
    at = sharded.device_mesh.get_coordinate() or ()
    pairs = zip(at, sharded.placements, strict=False)
    return tuple(each for each, place in pairs if not place.is_replicate())


def held_by(tensor: torch.Tensor) -> int:
    """How many ranks hold the same part; 1 where it is not sharded."""
    if not is_sharded(tensor):
        return 1
    sharded: Any = tensor
    pairs = zip(sharded.device_mesh.shape, sharded.placements, strict=True)
    return math.prod(size for size, place in pairs if place.is_replicate())
