"""Numbers in tensors of one element, read again only where they may be others.

Whoever reads a tensor on a device waits until the device has done all that it was asked
for. A rate that is such a tensor is asked for several times at each step, and hardly
ever changes.
"""

from typing import Any

import torch
from torch.utils.weak import WeakTensorKeyDictionary

_EVERY = 64
"""Of so many times that the same tensor is asked for it is read once in any case: what
is written through `.data`, or by a graph that is replayed, torch does not count."""


class TensorNumbers:
    """What tensors held when they were read last.

    >>> numbers, rate = TensorNumbers(everywhere=True), torch.tensor(0.5)
    >>> numbers.of(rate), numbers.of(rate.fill_(0.25))
    (0.5, 0.25)
    """

    def __init__(self, *, everywhere: bool = False) -> None:
        """Nothing was read yet.

        Args:
            everywhere: also what is in the CPU's memory is read only where it may be
                another number; else it is read each time, as that costs nothing.
        """
        self._everywhere = everywhere
        self._known = WeakTensorKeyDictionary()

    def of(self, tensor: torch.Tensor) -> Any:
        """The number in a tensor of one element, as `item` gives it.

        Raises:
            RuntimeError: it holds several, or none.
        """
        costs_nothing = tensor.device.type == "cpu" and not self._everywhere
        if costs_nothing or tensor.is_inference():  # torch counts no writes to these
            return tensor.item()
        version = tensor._version
        then, number, asked = self._known.get(tensor, (None, None, 0))
        if then != version or asked >= _EVERY:
            number, asked = tensor.item(), 0
        self._known[tensor] = version, number, asked + 1
        return number


_NUMBERS = TensorNumbers()


def number_inside(tensor: torch.Tensor) -> Any:
    """The number in a tensor of one element; see `TensorNumbers.of`."""
    return _NUMBERS.of(tensor)
