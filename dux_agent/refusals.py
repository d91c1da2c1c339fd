"""What cannot be trained with rules: refused before anything begins.

Whoever has one hears of it at `attach`, not at the first decision hours later.
"""

import logging
from collections.abc import Collection, Iterable
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from dux_agent.errors import BadArgument
from dux_sandbox.dry_runs.incumbent import copy_of_trusted
from dux_sandbox.dry_runs.scratch import out_of_memory
from dux_sandbox.running import ParamGroups, parameters_of
from dux_sandbox.shards import is_fully_sharded, is_sharded, own_part

log = logging.getLogger(__name__)


def warn_of_iterators(kinds: Collection[str]) -> None:
    """Say that what a dry run takes from some of these kinds training does not get."""
    if kinds:
        log.warning(
            "the objective reaches an iterator (%s): what it takes from there in a dry "
            "run the training does not get; have the loop take it, and hand it to the "
            "objective in the batch",
            ", ".join(sorted(kinds)),
        )


def warn_of_recurrent_dropout(model: nn.Module) -> None:
    """Say of which layers cuDNN draws what a dry run cannot put back."""
    drawn = [
        name or "the model"
        for name, each in model.named_modules()
        if isinstance(each, nn.RNNBase)
        and each.num_layers > 1
        and each.dropout > 0
        and _is_cudnns(each)
    ]
    if drawn:
        log.warning(
            "%s: cuDNN draws the dropout between recurrent layers from numbers of its "
            "own, which no dry run can put back: a training with decisions draws "
            "others than one without; nn.Dropout between single layers draws the same",
            ", ".join(drawn),
        )


def check_model_kind(model: nn.Module) -> None:
    """Raise BadArgument for such models."""
    wrapped = [each for each in model.modules() if _is_wrapped(each)]
    if wrapped:
        raise BadArgument(
            f"the model is wrapped in {type(wrapped[0]).__name__} (FSDP1); a module "
            f"with parameters of its own was wanted; use "
            f"torch.distributed.fsdp.fully_shard, or train without FSDP."
        )
    tensors = [*model.named_parameters(), *model.named_buffers()]
    managed = {
        f"{path}.{name}" if path else name
        for path, module in model.named_modules()
        if is_fully_sharded(module)
        for name, each in module.named_parameters()
        if _sharded_once(each)
    }
    for found, wanted, remedy in (
        (
            _first(
                name
                for name, each in tensors
                if is_sharded(each) and name not in managed
            ),
            "is a DTensor; a plain tensor, or one of fully_shard, was wanted",
            "attach to a model whose layers are not distributed over devices",
        ),
        (
            _first(name for name, each in tensors if _is_offloaded(each)),
            "is kept away from the devices of its mesh (CPUOffloadPolicy); one that is "
            "where it is computed with was wanted",
            "call fully_shard without an offload policy",
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


def check_kinds(
    model: nn.Module, optimizer: torch.optim.Optimizer, *, asks: bool
) -> None:
    """Raise BadArgument for such models, and for optimizers that no rule follows on.

    Args:
        asks: rules are tried on a copy; the guard alone needs none, and watches what
            else the optimizer steps beside the model's own.
    """
    _check_parameters(model, optimizer, asks)
    check_model_kind(model)
    if any(group.get("maximize") for group in optimizer.param_groups):
        raise BadArgument(
            "the optimizer has maximize=True; one that lowers the objective was "
            "wanted, since rules are written, tried and watched for that; turn the "
            "sign of the loss and leave maximize out."
        )


def _check_parameters(
    model: nn.Module, optimizer: torch.optim.Optimizer, asks: bool
) -> None:
    """Raise BadArgument for none, and for those that no copy of the model has."""
    own = {id(parameter) for parameter in model.parameters()}
    given = [p for group in optimizer.param_groups for p in group["params"]]
    strangers = [p for p in given if id(p) not in own]
    if given and (not strangers or (len(strangers) < len(given) and not asks)):
        return
    found, remedy = "no parameters", ""
    if strangers:
        count = f"{len(strangers)} of {len(given)} parameters"
        shape = tuple(strangers[0].shape)
        found = f"{count} that are not the model's (the first of shape {shape})"
        remedy = (
            ", or pass one module that holds them all: an nn.ModuleList of several "
            "models, a loose tensor as an nn.Parameter that is its attribute"
        )
    raise BadArgument(
        f"the optimizer holds {found}; only the model's own were wanted, since rules "
        f"are tried on a copy of it; build it over model.parameters() of the very "
        f"model you pass{remedy} (docs/loops.md)."
    )


def check_copied(optimizer: torch.optim.Optimizer) -> None:
    """Raise BadArgument for an optimizer that no dry run can continue on a copy.

    What it has learned is not copied for that.
    """
    parameters = parameters_of(optimizer.param_groups)
    if any(map(is_sharded, parameters)):
        return  # that is tried with all ranks
    same: dict[int, Any] = {id(each): each for each in parameters}
    for entry in optimizer.state.values():
        inside = entry.values() if isinstance(entry, dict) else [entry]
        same |= {id(each): each for each in inside}
    try:
        copy_of_trusted(optimizer, same)
    except Exception as error:  # whatever an optimizer of the user's says to it
        if out_of_memory(error):
            return  # there may be some when a decision is due, and it says if not
        kind = type(optimizer).__name__
        raise BadArgument(
            f"the optimizer, a {kind}, cannot be deep-copied ({error}); one that can "
            f"was wanted, since a dry run goes on with it on a copy; pass another, as "
            f"for ZeroRedundancyOptimizer the one inside it, with fully_shard where "
            f"that needs too much memory."
        ) from error


def refuse_uneven(model: nn.Module | None) -> None:
    """Raise BadArgument where some ranks may take fewer steps than others."""
    if getattr(getattr(model, "_join_config", None), "enable", False):
        raise BadArgument(
            "the loop is inside model.join(), where some ranks step less often than "
            "others; as many steps on all were wanted, since they decide as one; leave "
            "it out, and let all end with the one that has the fewest batches."
        )


def check_devices(execution: str, groups: ParamGroups) -> None:
    """Raise BadArgument where a recorded program would be of several devices."""
    devices = sorted({str(each.device) for each in parameters_of(groups)})
    if execution == "recorded" and len(devices) > 1:
        raise BadArgument(
            f"the optimizer's parameters are on {' and '.join(devices)}, and rules run "
            f"as recorded programs, which are of one device; all on one were wanted; "
            f"move them, or pass execution='inline'."
        )


def check_ranks(
    count: int, model: nn.Module, *, background: bool, keep_best: bool
) -> None:
    """Several ranks decide in the foreground, and keep no weights of one of them.

    Nor does one rank that has a sharded model to itself: it is made whole to decide.
    """
    given = [
        name
        for name, chosen in (("background", background), ("keep_best", keep_best))
        if chosen
    ]
    sharded = any(map(is_fully_sharded, model.modules()))
    if given and (count > 1 or sharded):
        found = "the model is sharded" if sharded else f"{count} ranks train together"
        raise BadArgument(
            f"{given[0]} is True and {found}; one rank with whole weights, or "
            f"{given[0]}=False, was wanted; leave it out."
        )


def _first(names: Iterable[str]) -> str | None:
    return next(iter(names), None)


def _is_cudnns(module: nn.Module) -> bool:
    return torch.backends.cudnn.enabled and any(p.is_cuda for p in module.parameters())


def _is_wrapped(module: nn.Module) -> bool:
    """FSDP of the first generation, whose parameters are flat."""
    kinds = type(module).__mro__
    return any(kind.__name__ == "FullyShardedDataParallel" for kind in kinds)


def _is_offloaded(tensor: torch.Tensor) -> bool:
    if not is_sharded(tensor):
        return False
    mesh: Any = tensor.device_mesh  # type: ignore[attr-defined]
    return own_part(tensor).device.type != str(mesh.device_type)


def _sharded_once(tensor: torch.Tensor) -> bool:
    """Whether no more than one dimension of the mesh holds parts of it."""
    placements: Any = getattr(tensor, "placements", ())
    return sum(not each.is_replicate() for each in placements) <= 1
