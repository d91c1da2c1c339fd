"""Models that cannot be tried on a copy yet: refused before anything begins.

A copy of a sharded model is none of the copies that a dry run needs, and a rule may ask
for whole matrices. Whoever has one hears of it at `attach`, not at the first decision
hours later.
"""

from collections.abc import Iterable
from typing import Any

from torch import nn
from torch.nn.parameter import is_lazy

from dux_agent.errors import BadArgument


def check_model_kind(model: nn.Module) -> None:
    """Raise BadArgument for such models."""
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


def check_ranks(count: int, *, background: bool, keep_best: bool) -> None:
    """Several ranks decide in the foreground, and keep no weights of one of them."""
    given = [
        name
        for name, chosen in (("background", background), ("keep_best", keep_best))
        if chosen
    ]
    if count > 1 and given:
        raise BadArgument(
            f"{given[0]} is True and {count} ranks train together; one rank, or "
            f"{given[0]}=False, was wanted; leave it out."
        )


def _first(names: Iterable[str]) -> str | None:
    return next(iter(names), None)


def _is_sharded(module: nn.Module) -> bool:
    """FSDP of either generation: a wrapper, or a class mixed into the module's own."""
    kinds = {kind.__name__ for kind in type(module).__mro__}
    return not kinds.isdisjoint({"FullyShardedDataParallel", "FSDPModule"})


def _is_distributed(tensor: Any) -> bool:
    """Whether it is a DTensor; torch.distributed.tensor is slow to import."""
    return any(kind.__name__ == "DTensor" for kind in type(tensor).__mro__)
