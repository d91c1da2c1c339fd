"""How often tensors were written to, as autograd counts it, and to take that back."""

from collections.abc import Callable, Iterable
from typing import Any

import torch


def one_by_one(setter: Callable[..., Any]) -> Callable[..., Any]:
    """What sets the counts of several tensors; torch 2.6 sets that of one at a time."""
    try:
        setter((), ())
    except TypeError:
        return lambda tensors, counts: [*map(setter, tensors, counts)]
    return setter


_set = one_by_one(torch._C._autograd._unsafe_set_version_counter)


class Versions:
    """The counts of some tensors at one moment.

    A loop may tell of its loss between its forward and its backward pass, which
    refuses to go through a tensor that was written to meanwhile. Where a tensor holds
    the same bits again, there is nothing to refuse.

    >>> weight = torch.ones(2)
    >>> versions = Versions([weight])
    >>> _ = weight.add_(1).sub_(1)
    >>> versions.put_back()
    >>> weight._version
    0
    """

    def __init__(self, tensors: Iterable[torch.Tensor]) -> None:
        """Note them now."""
        self._tensors = tuple(each for each in tensors if not each.is_inference())
        self._counts = tuple(each._version for each in self._tensors)

    def put_back(self) -> None:
        """As if nothing had been written since; the tensors hold what they held."""
        _set(self._tensors, self._counts)
