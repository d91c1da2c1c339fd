"""A device that computes late, on the CPU: who reads from it too early is caught."""

from contextlib import contextmanager

import torch
from torch.utils._python_dispatch import TorchDispatchMode

_READS = ("_local_scalar_dense", "equal", "is_nonzero", "nonzero", "masked_select")


class LateDevice:
    """Reads numbers for a `LossFeed` or a guard: each is on its way until asked for.

    Attributes:
        waited: how many were asked for.
    """

    def __init__(self):
        self.waited = 0

    def __call__(self, number):
        if not isinstance(number, torch.Tensor):
            return float(number)
        held = number.detach().clone().reshape(())

        def value():
            self.waited += 1
            return float(held.numpy())  # of which no mode hears

        return value


class _NoRead(TorchDispatchMode):
    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function._schema.name.removeprefix("aten::")
        if name in _READS:
            raise AssertionError(f"the host waits for {name}")
        return function(*args, **(kwargs or {}))


@contextmanager
def nobody_waits():
    """Inside, whoever asks a tensor for its values raises."""
    with _NoRead():
        yield
