"""Rules to which it makes a difference in which order a tensor lies in memory.

Numbers are drawn in that order, `reshape` gives a view of one order and a copy of
another, and a rule may ask for it. For all others a tensor is its elements.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from dux_sandbox.recorded.program import Place

_ASKS = re.compile(
    r"rand\w*_like|random_|normal|uniform|bernoulli|exponential|cauchy|geometric|dropout"
    r"|stride|contiguous|memory_format|reshape|flatten|ravel|view"
)


def asks_how_tensors_lie(source: str) -> bool:
    """Whether what a rule does may hang on the order of its tensors in memory.

    >>> asks_how_tensors_lie("p.add_(torch.randn_like(p))")
    True
    >>> asks_how_tensors_lie("p.add_(torch.randn(p.shape))")
    False
    """
    return _ASKS.search(source) is not None


def order_of(tensor: torch.Tensor) -> list[int]:
    """The strides of a dense tensor in this order, of sides longer than one."""
    if tensor.is_contiguous():
        strides = torch.empty(tensor.shape, device="meta").stride()
    else:
        strides = torch.empty_like(tensor, device="meta").stride()
    pairs = zip(tensor.shape, strides, strict=True)
    return [stride for size, stride in pairs if size > 1]


def lies_otherwise(
    parameters: Sequence[torch.Tensor], state: Mapping[int, Mapping[str, Any]]
) -> bool:
    """Whether anything of a parameter's shape is kept in another order than it has."""
    return any(
        isinstance(value, torch.Tensor)
        and value.shape == parameters[index].shape
        and order_of(value) != order_of(parameters[index])
        for index, entry in state.items()
        for value in entry.values()
    )


class KeptOrder:
    """In which order a recording shows what is kept in a parameter's shape."""

    def __init__(self, parameters: Sequence[torch.Tensor]) -> None:
        """As these lie, of which only those count that lie otherwise than usual."""
        self._laid = {
            index: torch.empty_like(each.detach())
            for index, each in enumerate(parameters)
            if not each.is_contiguous()
        }

    def strides(self, place: Place, shape: Sequence[int]) -> tuple[int, ...] | None:
        """Of a tensor of this shape that is kept there; None: the usual ones."""
        laid = self._laid
        mine = [place[1]] if place[0] == "state" else list(laid)
        models = [laid[int(at)] for at in mine if at in laid]
        same = [each for each in models if tuple(each.shape) == tuple(shape)]
        return same[0].stride() if same else None

    def goes_on(self, place: Place, leaf: Any) -> bool:
        """Whether what a step leaves there lies as the next one will be shown it."""
        if not self._laid or not isinstance(leaf, torch.Tensor):
            return True
        return self.strides(place, leaf.shape) in (None, leaf.stride())
