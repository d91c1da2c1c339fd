"""What kernels are made for: the processor, or a CUDA device."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from dux_sandbox.recorded.kernels.functions import function

_SIDE_BY_SIDE = 1 << 27
"""Half a GiB of float32, of which a part is there at a time: for each turn of so many
all passes are launched once."""


@dataclass(frozen=True)
class Target:
    """One place where kernels run.

    Attributes:
        device: where the tensors of a step are.
        calls: whether a kernel there can call the function of that name on numbers of
            that dtype.
        in_turns: whether it pays to do all passes over some tensors before those over
            the next ones: where what is read once stays in a cache.
        side_by_side: elements that torch may make, of large tensors, for several
            parameters at once; 0: one parameter after the other, as the rule does, so
            that what is in between stays in a cache.
        waits: whether to ask for the number in a tensor is to wait for a device.
    """

    device: torch.device
    calls: Callable[[str, str], bool]
    in_turns: bool
    side_by_side: int = 0
    waits: bool = False


def _has(name: str, works_in: str) -> bool:
    return function(name, works_in) is not None


def _has_all(name: str, works_in: str) -> bool:
    return True


CPU = Target(torch.device("cpu"), _has, in_turns=True)


def target_of(device: torch.device) -> Target | None:
    """What kernels over tensors on a device are made for; None: there are none.

    >>> target_of(torch.device("cpu")) is CPU, target_of(torch.device("meta"))
    (True, None)
    """
    if device.type == "cpu":
        return CPU
    if device.type == "cuda" and torch.version.cuda is not None:
        return Target(device, _has_all, False, _SIDE_BY_SIDE, waits=True)
    return None
