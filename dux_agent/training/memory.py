"""How many bytes things take, counted on the tensors themselves."""

import copy
import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import nn

from dux_agent.live.optimizer import DuxOptimizer
from dux_agent.training.whole_model import model_is_sharded
from dux_sandbox.dry_runs.bystanders import Bystanders
from dux_sandbox.dry_runs.wrappers import unwrapped
from dux_sandbox.process.places import block_size, reason_against, room_for
from dux_sandbox.running import parameters_of
from dux_sandbox.shards import own_part

# A rule keeps what it likes; as much as Adam's two moments is usual.
TENSORS_A_WEIGHT = 2
_DEEPEST = 12


def held_by(tensors: Iterable[torch.Tensor]) -> int:
    """Bytes of the memory that tensors lie in; memory that several share counts once.

    >>> block = torch.zeros(10)
    >>> held_by([block, block[:2], block[4:]])
    40
    """
    found: dict[tuple[str, int], int] = {}
    for tensor in tensors:
        for part in _strided(tensor):
            storage = part.untyped_storage()
            found[str(part.device), storage.data_ptr()] = storage.nbytes()
    return sum(found.values())


def copied_from(tensors: Iterable[torch.Tensor]) -> int:
    """Bytes of copies of tensors, one for each, as `clone` makes them."""
    return sum(
        part.numel() * part.element_size()
        for tensor in tensors
        for part in _strided(tensor)
    )


def in_a_batch(batch: Any) -> int:
    """Bytes of the tensors in a batch, in whatever containers it has them."""
    return held_by(_tensors_in(batch, 0))


def in_batches(seen: Collection[Any], count: int) -> int | None:
    """Bytes of so many batches, if they are as large as these; None: none was seen."""
    return -(-sum(map(in_a_batch, seen)) * count // len(seen)) if seen else None


def in_a_copy(model: nn.Module, shared: Collection[int]) -> int:
    """Bytes of a copy of the model: weights, and tensors that are no weights.

    Args:
        shared: ids of the weights whose memory the copy uses as well.
    """
    original = unwrapped(model)
    weights = [each for each in original.parameters() if id(each) not in shared]
    return copied_from(weights) + held_by(_others(original))


def of_wholes(tensors: Iterable[torch.Tensor]) -> int:
    """Bytes of tensors together with what other ranks hold of them."""
    return sum(each.numel() * each.element_size() for each in tensors)


def for_a_whole_copy(model: nn.Module, live: DuxOptimizer, *, isolated: bool) -> int:
    """Bytes that a rank needs to try on all of a sharded model: a copy, and a dry run.

    Args:
        isolated: whether the live rule's copy has a process of its own.
    """
    if not model_is_sharded(model):
        return 0
    parameters = parameters_of(live.param_groups)
    rule_state = TENSORS_A_WEIGHT * of_wholes(parameters)
    state = of_the_live_rule(live, rule_state, whole=True)
    original = unwrapped(model)
    weights = of_wholes(original.parameters()) + held_by(_others(original))
    trained = of_wholes(each for each in model.parameters() if each.requires_grad)
    child = room_for(parameters)
    incumbent, proposal = state + child * isolated, rule_state + child
    return weights + state + weights + trained + max(incumbent, proposal)


def in_gradients(model: nn.Module) -> int:
    """Bytes of the gradients of all weights that need one."""
    return copied_from(each for each in model.parameters() if each.requires_grad)


def in_a_snapshot(groups: list[dict[str, Any]], model: nn.Module) -> int:
    """Bytes of one snapshot of the guard: trained weights, and buffers."""
    return copied_from([*parameters_of(groups), *_buffers(model)])


def in_all_weights(model: nn.Module) -> int:
    """Bytes of a copy of all parameters and buffers."""
    return copied_from([*model.parameters(), *_buffers(model)])


def in_a_block(groups: list[dict[str, Any]]) -> int:
    """Bytes of what a rule's process is shown: weights and gradients."""
    parameters = [*map(own_part, parameters_of(groups))]
    if any(reason_against(each) is not None for each in parameters):
        return 0  # no process can be shown them; the dry run will say so
    return block_size(parameters)


def kept_aside(bystanders: Bystanders, resting: Collection[int]) -> int:
    """Bytes of what is copied so that it can be put back after a dry run."""
    kept = [each for each in bystanders.others if id(each) not in resting]
    inside = (found for module in bystanders.modules for found in _own_others(module))
    return copied_from([*kept, *inside])


def in_the_state(optimizer: torch.optim.Optimizer, *, whole: bool = False) -> int:
    """Bytes of the state that an optimizer keeps, or will after its first step.

    Args:
        whole: with what other ranks hold of it.
    """
    kept = in_entries(optimizer.state, whole=whole)
    return kept or _state_to_come(optimizer, whole=whole)


def of_the_live_rule(live: DuxOptimizer, elsewhere: int, *, whole: bool = False) -> int:
    """Bytes of the state of the rule that is live: `elsewhere` if it is not here."""
    if live.running is live.base_rule:
        return in_the_state(live.base, whole=whole)
    if live.running.runs_here:
        return in_entries(live.running.state_by_parameter(), whole=whole)
    return elsewhere


def in_entries(state: Mapping[Any, Any], *, whole: bool = False) -> int:
    """Bytes of the entries of a state by parameter; see `in_the_state`."""
    return (of_wholes if whole else held_by)(_tensors_in(dict(state), 0))


def _state_to_come(optimizer: torch.optim.Optimizer, *, whole: bool) -> int:
    """What a first step will make, seen on tensors without data; 0 where it cannot be.

    Only of torch's own optimizers: of others nobody knows what a step does besides.
    """
    if not type(optimizer).__module__.startswith("torch.optim"):
        return 0
    stepped = parameters_of(optimizer.param_groups)
    shapes = {id(p): p.shape if whole else own_part(p).shape for p in stepped}
    try:
        groups = [
            {
                **{k: v for k, v in group.items() if k not in ("params", "fused")},
                "params": [
                    nn.Parameter(
                        torch.empty(shapes[id(p)], dtype=p.dtype, device="meta")
                    )
                    for p in group["params"]
                ],
            }
            for group in optimizer.param_groups
        ]
        twin = copy.copy(optimizer)
        torch.optim.Optimizer.__init__(twin, groups, dict(optimizer.defaults))
        for parameter in parameters_of(twin.param_groups):
            parameter.grad = torch.zeros_like(parameter)
        twin.step()
    # A line search wants a closure, another reads a number: then it is not known.
    except (RuntimeError, TypeError, ValueError, AttributeError):
        return 0
    return copied_from(_tensors_in(dict(twin.state), 0))


def _others(model: nn.Module) -> list[torch.Tensor]:
    return [found for module in model.modules() for found in _own_others(module)]


def _own_others(module: nn.Module) -> Iterator[torch.Tensor]:
    """A module's tensors that are no weights: buffers, and plain attributes."""
    for value in (*module._buffers.values(), *vars(module).values()):
        if isinstance(value, torch.Tensor) and not isinstance(value, nn.Parameter):
            yield value


def _buffers(model: nn.Module) -> Iterator[torch.Tensor]:
    for module in model.modules():
        yield from (value for value in module._buffers.values() if value is not None)


def _strided(tensor: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """The dense tensors that hold a tensor's data, as much as is here of it."""
    tensor = own_part(tensor)
    if tensor.layout is torch.strided:
        return (tensor.detach(),)
    if tensor.layout is torch.sparse_coo:
        return (tensor.detach()._indices(), tensor.detach()._values())
    return ()


def _tensors_in(value: Any, depth: int) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
        return
    if depth > _DEEPEST or isinstance(value, str | bytes):
        return
    if isinstance(value, Mapping):
        items: Iterable[Any] = value.values()
    elif isinstance(value, list | tuple | set | frozenset):
        items = value
    else:
        items = getattr(value, "__dict__", {}).values()
    for item in items:
        yield from _tensors_in(item, depth + 1)


def readable(size: int | None) -> str:
    """Bytes for people.

    >>> readable(1536), readable(None), readable(3 << 30)
    ('1.5 KiB', 'not known', '3.0 GiB')
    """
    if size is None:
        return "not known"
    if size < 1024:
        return f"{size} B"
    power = min(int(math.log(size, 1024)), 4)
    return f"{size / 1024**power:.1f} {'KMGT'[power - 1]}iB"
