"""The weights that a rule is proven on: those of a model, or fewer of each kind."""

from math import prod
from typing import Any

import torch

from dux_sandbox.running_rule import ParamGroups, parameters_of

# All weights where they are this many at most; else two of each shape.
_FEW_WEIGHTS = 1 << 22
_ALIKE = 2
# Of one tensor, where even those are more; sides shorter than the second stay.
_FEW_ELEMENTS, _LONG = 1 << 17, 64


def weights_of(groups: ParamGroups) -> int:
    """How many weights there are."""
    return sum(each.numel() for each in parameters_of(groups))


def chosen(groups: ParamGroups) -> ParamGroups:
    """All parameters where they are small; else two of each shape in each group."""
    if weights_of(groups) <= _FEW_WEIGHTS:
        return [{"params": list(group["params"])} for group in groups]
    made: ParamGroups = []
    for group in groups:
        seen: dict[Any, int] = {}
        params = []
        for each in group["params"]:
            shape = (each.dtype, each.shape, each.stride(), each.requires_grad)
            seen[shape] = seen.get(shape, 0) + 1
            if seen[shape] <= _ALIKE:
                params.append(each)
        made.append({"params": params})
    return made


def copies(groups: ParamGroups) -> ParamGroups:
    """The same weights once more, on the CPU, with the same strides."""
    return [
        {
            "params": [
                torch.nn.Parameter(each.detach().cpu().clone(), each.requires_grad)
                for each in group["params"]
            ]
        }
        for group in groups
    ]


def smaller(groups: ParamGroups) -> ParamGroups:
    """These groups, or where they are still large, corners of their largest tensors.

    All long sides of a tensor shrink alike: what was square is square, and what was
    higher than wide is so.
    """
    if weights_of(groups) <= _FEW_WEIGHTS:
        return groups
    return [{"params": [_corner(each) for each in group["params"]]} for group in groups]


def _corner(parameter: torch.Tensor) -> torch.Tensor:
    long = [side for side in parameter.shape if side >= _LONG]
    if parameter.numel() <= _FEW_ELEMENTS or not long:
        return parameter
    most = _FEW_ELEMENTS / (parameter.numel() / prod(long))
    part = (most / prod(long)) ** (1 / len(long))
    sides = [
        max(2, round(side * part)) if side >= _LONG else side
        for side in parameter.shape
    ]
    corner = parameter.detach()[tuple(map(slice, sides))].clone()
    return torch.nn.Parameter(corner, parameter.requires_grad)
