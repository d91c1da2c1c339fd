"""Where in its page a kept tensor begins, so that a kernel's loads wait for no stores.

A processor that finds out whether a load needs what was just stored compares the last
twelve bits of both addresses, and waits where these are equal. A kernel that goes
through weights, gradients and two averages takes up to half as long again where two of
them begin nearly at one place of a page: as large tensors from `malloc` do.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import torch

from dux_sandbox.recorded.program import Place

_PAGE, _LINE = 4096, 64
_APART, _NEAR, _ASIDE = 1024, 320, 512
_LEAST, _MOST = 1 << 16, 1 << 24
"""Bytes below which it costs nothing, and above which kernels wait for memory."""


def spaced(
    values: Mapping[Place, Any], models: Mapping[str | int, torch.Tensor]
) -> dict[Place, Any]:
    """The same values, of which tensors that are like their parameters are copied: none
    begins in a page where its parameter does, nor where another one of it does, nor now
    the gradient. What would win nothing stays as it is.

    Args:
        values: by place, what a rule keeps.
        models: the parameters, by their indices.
    """
    turns = Counter[str | int]()
    made = dict(values)
    for place, value in values.items():
        model = models.get(place[1]) if place[0] == "state" else None
        if model is not None and torch.is_tensor(value) and _is_worth_it(value, model):
            made[place] = _moved(value, _begin(model, turns[place[1]]))
            turns[place[1]] += 1
    return made


def _is_worth_it(tensor: torch.Tensor, model: torch.Tensor) -> bool:
    return (
        _LEAST <= tensor.numel() * tensor.element_size() <= _MOST
        and type(tensor) is torch.Tensor
        and tensor.device.type == model.device.type == "cpu"
        and (tensor.shape, tensor.stride()) == (model.shape, model.stride())
        and tensor.is_contiguous()
        and not tensor.requires_grad
    )


def _begin(model: torch.Tensor, turn: int) -> int:
    """Where in a page the tensor should begin that comes after so many others."""
    begin = model.data_ptr() // _LINE * _LINE + _APART * (1 + turn % 3)
    if model.grad is not None and (begin - model.grad.data_ptr()) % _PAGE < _NEAR:
        begin += _ASIDE
    return begin % _PAGE


def _moved(tensor: torch.Tensor, begin: int) -> torch.Tensor:
    if tensor.data_ptr() % _PAGE == begin:
        return tensor
    size = tensor.element_size()
    room = torch.empty(tensor.numel() * size + _PAGE, dtype=torch.uint8)
    skipped = (begin - room.data_ptr()) % _PAGE // size
    made = torch.empty(0, dtype=tensor.dtype)
    made.set_(room.untyped_storage(), skipped, tensor.shape, tensor.stride())
    return made.copy_(tensor)
