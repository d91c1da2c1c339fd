"""Whether a rule does the same to a part of the weights as to all of them.

Where each rank holds a part of every parameter, its rule sees that part alone. A norm
over a parameter, a product of matrices, a look at shapes or a draw of random numbers
comes to something else there. That is found by trying, on random gradients: what a
source says of it can be told in too many ways. Weights and gradients are made larger
from the first element to the last, since a mean over half of many that are alike is the
mean over all.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn

from dux_sandbox.findings import Finding, RuleFailed, SourceRejected
from dux_sandbox.limits import Limits
from dux_sandbox.process.isolated import IsolatedRule
from dux_sandbox.running import ParamGroups, parameters_of
from dux_sandbox.static_check import sensors_of

_STEPS = 8
_MOST_ELEMENTS = 4096
_UNLIKE = 3.0  # the last element is so many times e times as large as the first
# Kernels round the last elements of a tensor otherwise than those before.
_TOLERANCE = 1e-3  # of the farthest that a step has moved an element
_INSTEAD = (
    "a rule that moves each element by its own gradient, value and state alone, with "
    "no norm, mean, shape, matrix product or random number of a whole parameter"
)


def found_by_parts(
    source: str, wholes: ParamGroups, parts: Sequence[torch.Size], limits: Limits
) -> Finding | None:
    """What speaks against the rule of a source where weights are sharded.

    Of parameters of one group that are of one shape, and cut alike, the first is tried.

    Args:
        wholes: groups of whole parameters; nothing is changed. For those on the meta
            device others are drawn, and large ones cut down.
        parts: the shape of the part of each that one rank holds, its first elements.

    Returns:
        None where nothing does. A rule that fails is left to the dry run.
    """
    if sensors_of(source):
        said = "weights are sharded over ranks (FSDP), and it declares sensors"
        return Finding("sharded", None, said, "a rule without sensors")
    numbered = iter(enumerate(parts))
    kept = [
        [(at, *_drawn(p, shape)) for at, p, shape in _one_of_each(params, numbered)]
        for params in (group["params"] for group in wholes)
    ]
    whole = [
        {"params": [nn.Parameter(p.clone()) for _, p, _ in group]} for group in kept
    ]
    part = [{"params": [_first(p, shape) for _, p, shape in group]} for group in kept]
    numbers = [number for group in kept for number, *_ in group]
    before = [each.detach().clone() for each in parameters_of(part)]
    try:
        for groups in (whole, part):
            _train(source, groups, parameters_of(whole), limits)
    except (RuleFailed, SourceRejected):
        return None
    tried = parameters_of(whole), parameters_of(part)
    for index, one, other, began in zip(numbers, *tried, before, strict=True):
        expected = one.detach()
        for dimension, size in enumerate(other.shape):
            expected = expected.narrow(dimension, 0, size)
        if not other.numel():
            continue
        moved = float((expected - began).abs().max())
        apart = float((expected - other.detach()).abs().max())
        if not apart <= _TOLERANCE * moved:
            shape, of = tuple(other.shape), tuple(one.shape)
            said = (
                f"weights are sharded over ranks (FSDP), and its steps of a part of "
                f"shape {shape} of parameter {index} are not that part of its steps "
                f"of all of shape {of}"
            )
            return Finding("sharded", None, said, _INSTEAD)
    return None


def _one_of_each(
    params: Sequence[torch.Tensor], numbered: Iterator[tuple[int, torch.Size]]
) -> list[tuple[int, torch.Tensor, torch.Size]]:
    """Of each make the first: its number, all of it, and the shape of its part."""
    found: dict[tuple[Any, ...], tuple[int, torch.Tensor, torch.Size]] = {}
    for each, (number, shape) in zip(params, numbered, strict=False):
        make = (each.shape, each.dtype, shape)
        found.setdefault(make, (number, each, shape))
    return list(found.values())


def _drawn(whole: torch.Tensor, part: torch.Size) -> tuple[torch.Tensor, Sequence[int]]:
    """Weights to try it on; for those without data others are drawn, no more than are
    soon stepped.

    A part of it is the same share of each dimension.
    """
    if not whole.is_meta:
        return _unlike(whole.detach()), part
    shape = list(whole.shape)
    while math.prod(shape) > _MOST_ELEMENTS:
        longest = shape.index(max(shape))
        shape[longest] = math.ceil(shape[longest] / 2)
    cut = zip(part, shape, whole.shape, strict=True)
    smaller = [math.ceil(size * now / max(1, was)) for size, now, was in cut]
    drawn = torch.Generator().manual_seed(1)
    values = torch.randn(shape, generator=drawn, device="cpu")
    return _unlike(values).to(whole.dtype), smaller


def _unlike(tensor: torch.Tensor) -> torch.Tensor:
    """The same, larger from the first element to the last."""
    count, device = tensor.numel(), tensor.device
    sizes = torch.linspace(-_UNLIKE / 2, _UNLIKE / 2, count, device=device).exp()
    return (tensor * sizes.reshape(tensor.shape)).to(tensor.dtype)


def _first(whole: torch.Tensor, shape: Sequence[int]) -> nn.Parameter:
    part = whole
    for dimension, size in enumerate(shape):
        part = part.narrow(dimension, 0, size)
    return nn.Parameter(part.clone())


def _train(
    source: str, groups: ParamGroups, wholes: Sequence[torch.Tensor], limits: Limits
) -> None:
    """Some steps on gradients that are drawn for the whole, and cut for parts.

    They keep a direction, and are neither about zero nor of one size: a rate that is
    found from how far one came stays what it was where they have none.
    """
    drawn = torch.Generator().manual_seed(0)
    directions = [
        _unlike(0.5 + torch.randn(each.shape, generator=drawn, device="cpu"))
        for each in wholes
    ]
    rule = IsolatedRule.build(source, groups, limits=limits)
    try:
        for group, options in zip(groups, rule.options, strict=True):
            group.update(options)
        rule.bind(groups)
        for _ in range(_STEPS):
            for mine, steady in zip(parameters_of(groups), directions, strict=True):
                noise = torch.randn(steady.shape, generator=drawn, device="cpu")
                gradient = steady + 0.3 * noise
                for dimension, size in enumerate(mine.shape):
                    gradient = gradient.narrow(dimension, 0, size)
                mine.grad = gradient.to(mine.device, mine.dtype).contiguous()
            rule.step()
    finally:
        rule.close()
