"""Which weights stand still: a copy of the model may then share their memory.

Nobody trains a frozen weight, but a momentum encoder's are written by every forward
pass and not by the optimizer. So a weight counts as resting when training has taken a
step and it did not change; a sum over its bits tells, without a copy of it.
"""

import weakref
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.nn.parameter import is_lazy

_WHOLE = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


class Resting:
    """Remembers sums over the bits of frozen tensors, not the tensors."""

    def __init__(self, steps: Callable[[], int]) -> None:
        """Begin with nothing seen.

        Args:
            steps: how many steps the training has taken so far.
        """
        self._steps = steps
        self._known: dict[int, tuple[weakref.ref[torch.Tensor], int, int]] = {}

    def look(self, tensors: Iterable[torch.Tensor]) -> set[int]:
        """The ids of those that are frozen and stood still while steps were taken.

        Reads all frozen ones once.
        """
        still: set[int] = set()
        steps = self._steps()
        for tensor in tensors:
            bits = None if tensor.requires_grad else _sum_of_bits(tensor)
            known = self._known.pop(id(tensor), None)
            if bits is None:
                continue
            since = steps
            if known is not None and known[0]() is tensor and known[1] == bits:
                since = known[2]
            if since < steps:
                still.add(id(tensor))
            self._known[id(tensor)] = weakref.ref(tensor), bits, since
        return still


def _sum_of_bits(tensor: torch.Tensor) -> int | None:
    """The bits read as whole numbers, added up; None where that cannot be done."""
    if is_lazy(tensor):
        return None
    plain: Any = tensor.detach()
    if plain.layout is not torch.strided or plain.is_quantized or plain.is_meta:
        return None
    if plain.is_complex():
        plain = torch.view_as_real(plain)
    whole = _WHOLE.get(plain.element_size())
    if whole is None:
        return None
    flat = plain.contiguous().view(-1)
    numbers = flat if flat.dtype == whole else flat.view(whole)
    return int(numbers.sum(dtype=torch.int64))
