"""Models that cannot be tried on a copy yet: refused before anything begins.

Several ranks would have to decide as one, and a copy of a sharded model is none of the
copies that a dry run needs. Whoever has one hears of it at `attach`, not at the first
decision hours later.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from dux_agent.errors import BadArgument


def check_model_kind(model: nn.Module) -> None:
    """Raise BadArgument for a process group of several ranks and for such models."""
    ranks = _ranks()
    if ranks > 1:
        raise BadArgument(
            f"a process group of {ranks} ranks is initialised; one rank was wanted, "
            f"since each rank would decide for itself; attach in a run of one process."
        )
    sharded = [each for each in model.modules() if _is_sharded(each)]
    if sharded:
        raise BadArgument(
            f"the model is wrapped in {type(sharded[0]).__name__} (FSDP); a module "
            f"with whole parameters was wanted; attach before it is sharded, or train "
            f"without FSDP."
        )
    tensors = [*model.named_parameters(), *model.named_buffers()]
    for found, wanted, remedy in (
        (
            _first(name for name, each in tensors if _is_distributed(each)),
            "is a DTensor; a plain tensor was wanted",
            "attach to a model that is not distributed over devices",
        ),
        (
            _first(name for name, each in tensors if is_lazy(each)),
            "is not initialised (a lazy module); a tensor with a shape was wanted",
            "run the model once on a batch before the optimizer is made",
        ),
        (
            _first(name for name, each in tensors if each.is_meta),
            "is on the meta device, without data; a tensor with data was wanted",
            "load the weights first, for instance with model.to_empty(device=...)",
        ),
    ):
        if found is not None:
            raise BadArgument(f"{found!r} of the model {wanted}; {remedy}.")


def _ranks() -> int:
    distributed = torch.distributed
    if not distributed.is_available() or not distributed.is_initialized():
        return 1
    return distributed.get_world_size()


def _first(names: Iterable[str]) -> str | None:
    return next(iter(names), None)


def _is_sharded(module: nn.Module) -> bool:
    """FSDP of either generation: a wrapper, or a class mixed into the module's own."""
    kinds = {kind.__name__ for kind in type(module).__mro__}
    return not kinds.isdisjoint({"FullyShardedDataParallel", "FSDPModule"})


def _is_distributed(tensor: Any) -> bool:
    """Whether it is a DTensor; torch.distributed.tensor is slow to import."""
    return any(kind.__name__ == "DTensor" for kind in type(tensor).__mro__)
