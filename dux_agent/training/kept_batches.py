"""Batches in a checkpoint: plain data, and where they were.

A checkpoint may be read onto another device (`torch.load(..., map_location="cpu")`, as
frameworks do): its batches go back to the weights that they were with.
"""

import copy
from collections.abc import Iterable, Sequence
from typing import Any

import torch

_MOST_BYTES = 64 << 20
_WITH_WEIGHTS, _ON_THE_HOST, _ELSEWHERE = "weights", "cpu", ""


def kept_batches(batches: Iterable[Any]) -> list[Any]:
    """Copies of batches for a checkpoint; none at all when they do not fit in one."""
    batches = list(batches)
    sizes = [_plain_bytes(batch, 0) for batch in batches]
    if any(size is None for size in sizes):
        return []
    if sum(size or 0 for size in sizes) > _MOST_BYTES:
        return []
    return copy.deepcopy(batches)


def places_of(batches: Any, home: torch.device) -> list[str]:
    """Where each tensor of batches is, in their order; `home` is where weights are.

    >>> places_of([(torch.ones(2), 3)], torch.device("cpu"))
    ['weights']
    """
    found: list[str] = []

    def note(tensor: torch.Tensor, _: int) -> torch.Tensor:
        on_host = _ON_THE_HOST if tensor.is_cpu else _ELSEWHERE
        found.append(_WITH_WEIGHTS if tensor.device == home else on_host)
        return tensor

    _each_tensor(batches, note, [0])
    return found


def placed(batches: Any, places: Sequence[str], home: torch.device) -> Any:
    """The same, each tensor where `places_of` found it.

    Raises:
        IndexError: there are more tensors than places.
    """

    def place(tensor: torch.Tensor, at: int) -> torch.Tensor:
        known = {_WITH_WEIGHTS: home, _ON_THE_HOST: torch.device("cpu")}
        return tensor.to(known.get(places[at], tensor.device))

    return _each_tensor(batches, place, [0])


def _each_tensor(value: Any, do: Any, count: list[int]) -> Any:
    if isinstance(value, torch.Tensor):
        count[0] += 1
        return do(value, count[0] - 1)
    if isinstance(value, dict):
        return {name: _each_tensor(each, do, count) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)([_each_tensor(each, do, count) for each in value])
    return value


def _plain_bytes(value: Any, depth: int) -> int | None:
    """Bytes of tensors in plain containers; None for anything else."""
    if depth > 8:
        return None
    if type(value) is torch.Tensor:
        return None if value.requires_grad else value.numel() * value.element_size()
    if value is None or type(value) in (bool, int, float, str):
        return 0
    if type(value) is dict:
        value = [*value.keys(), *value.values()]
    if type(value) not in (list, tuple):
        return None
    sizes = [_plain_bytes(item, depth + 1) for item in value]
    if any(size is None for size in sizes):
        return None
    return sum(size or 0 for size in sizes)
