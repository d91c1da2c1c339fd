"""State in bfloat16, rounded by chance, for a rule that says `bfloat16_state = True`.

Between steps half the memory; in a step the rule has what it keeps in float32, and
knows nothing of it: what shares its memory goes on to share it, and stays as it is.
Rounded to the nearest, an average that moves by less than half a unit stays where it is
for ever; rounded by chance it moves as far in the mean. Needs torch alone: exported
rules carry this text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any
from weakref import WeakKeyDictionary

import torch

GENERATOR = "dux_rounding"
"""The attribute of a rule that holds the generator of its chances."""
# Of a number's own size: more than half a unit in its last place, and less than one and
# a half, so that the nearest to the sum is the neighbour, at a power of two as well.
_BESIDE = 0.6 * 2.0**-7


def rounded_by_chance(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """A float32 tensor in bfloat16, up or down by the chance that keeps the mean.

    What is a bfloat16 already stays as it is, and so does what is not finite.

    >>> rounded_by_chance(torch.tensor([1.0, float("inf")]), torch.Generator())
    tensor([1., inf], dtype=torch.bfloat16)
    """
    nearest = x.to(torch.bfloat16).float()
    away = x.abs() > nearest.abs()
    beside = torch.where(away, nearest * (1 + _BESIDE), nearest * (1 - _BESIDE))
    beside = beside.to(torch.bfloat16).float()
    chance = (x - nearest) / (beside - nearest)
    drawn = torch.rand(x.shape, generator=generator, dtype=x.dtype)
    return torch.where(drawn < chance, beside, nearest).to(torch.bfloat16)


def keep_halved(rule: Any) -> None:
    """Have the instances of an optimizer class keep their state so between steps.

    Their generators are kept apart from them, and from what is saved of them.
    """
    step = rule.step
    generators = WeakKeyDictionary[Any, torch.Generator]()

    def halved_step(self: Any, closure: Any = None) -> Any:
        widen(self)
        result = step(self) if closure is None else step(self, closure)
        if self not in generators:
            generators[self] = torch.Generator().manual_seed(0)
        narrow(self, generators[self])
        return result

    rule.step = halved_step


def generator_of(rule: Any) -> torch.Generator:
    """The generator of a live rule's chances, which is part of what it keeps."""
    if GENERATOR not in vars(rule):
        vars(rule)[GENERATOR] = torch.Generator().manual_seed(0)
    generator: torch.Generator = vars(rule)[GENERATOR]
    return generator


@torch.no_grad()
def widen(rule: Any) -> None:
    """Before a step: what a rule keeps of each parameter, in float32."""
    for entry, name, value in _alone(rule):
        if value.dtype is torch.bfloat16:
            entry[name] = value.float()


@torch.no_grad()
def narrow(rule: Any, generator: torch.Generator) -> None:
    """After a step: the same in bfloat16; what has one element stays as it is."""
    for entry, name, value in _alone(rule):
        if value.dtype is torch.float32 and value.numel() > 1:
            entry[name] = rounded_by_chance(value.contiguous(), generator)


def _alone(rule: Any) -> Iterator[tuple[dict[str, Any], str, torch.Tensor]]:
    """What each entry keeps that has memory of its own, as much as it has elements.

    Each of many names of one tensor would become a tensor otherwise.
    """
    entries = _entries(rule)
    held = [
        (entry, name, value)
        for entry in entries
        for name, value in entry.items()
        if isinstance(value, torch.Tensor) and value.layout is torch.strided
    ]
    given = [p for group in rule.param_groups for p in group["params"]]
    given += [p.grad for p in given if p.grad is not None]
    dense = [each for each in given if each.layout is torch.strided]
    names = Counter(map(_memory, [*dense, *(value for _, _, value in held)]))
    for entry, name, value in held:
        whole = value.untyped_storage().nbytes() == value.numel() * value.itemsize
        if whole and names[_memory(value)] == 1:
            yield entry, name, value


def _memory(tensor: torch.Tensor) -> int:
    address: int = tensor.untyped_storage()._cdata
    return address


def _entries(rule: Any) -> list[dict[str, Any]]:
    """The state of each parameter in float32, in the order of the groups."""
    parameters = [p for group in rule.param_groups for p in group["params"]]
    wide = [p for p in parameters if p.dtype is torch.float32 and p in rule.state]
    entries = [rule.state[p] for p in wide]
    return [each for each in entries if isinstance(each, dict)]
