"""Where the tensors of a step lie: looked at in each step, at little cost."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import repeat
from typing import Any

import torch

from dux_sandbox.recorded.kernels.numbers import picked

_pointer = torch.Tensor.data_ptr
_Look = Callable[..., bool]
Kind = tuple[torch.dtype, torch.Size]
_MOST_LOOKS = 8
"""Made for one layout; where the strides of tensors change more often, none is."""


class Layout:
    """Tensors that a step reads and writes, held against what they must be.

    None of them is held on to.

    Attributes:
        places: of each of them in a table.
        pointers: of each of them, after `follow`.
        moves: how often `follow` has met another pointer.
    """

    def __init__(
        self, places: Sequence[int], kinds: Sequence[Kind], device: torch.device
    ) -> None:
        """Of tensors of these dtypes and shapes on a device."""
        self.places, self._kinds = places, kinds
        self._device = device
        self._pick = picked(places)
        self._look: _Look | None = None
        self._looks = 0
        self.pointers: list[int] = []
        self.moves = 0

    def follow(self, table: Sequence[Any]) -> bool:
        """Whether kernels can work on its tensors; their pointers are known then.

        They cannot on what is not dense, not contiguous, not on the device or not
        of the dtype and shape that it should be. Whoever holds a tensor can put other
        memory, another shape or dtype into it: so each is looked at.
        """
        tensors = self._pick(table)
        if self._look is None or not self._look(*tensors):
            if not all(map(_is_as, tensors, self._kinds, repeat(self._device))):
                return False
            self._look = _look_of(tensors) if self._looks < _MOST_LOOKS else None
            self._looks += 1
        pointers = list(map(_pointer, tensors))
        if pointers != self.pointers:
            self.pointers = pointers
            self.moves += 1
        return True


def _is_as(tensor: Any, kind: Kind, device: torch.device) -> bool:
    """Whether its memory, on the device, holds its values in a row."""
    return (
        type(tensor) in (torch.Tensor, torch.nn.Parameter)
        and tensor.layout is torch.strided
        and tensor.device == device
        and not tensor.is_conj()
        and not tensor.is_neg()
        and tensor.is_contiguous()
        and (tensor.dtype, tensor.shape) == kind
    )


def _look_of(tensors: Sequence[torch.Tensor]) -> _Look | None:
    """Tells whether others are as these are: true only where they are."""
    return _made_look(tensors) if _looks_well() else None


def _made_look(tensors: Sequence[torch.Tensor]) -> _Look | None:
    """What `torch.compile` looks at its arguments with, all of them in one call.

    It is no public part of torch: where it is another one, nothing is lost but time.
    """
    try:
        make: Any = torch._C._dynamo.guards.TensorGuards
        guards = make(
            *tensors,
            dynamic_dims_sizes=[list(each.shape) for each in tensors],
            dynamic_dims_strides=[list(each.stride()) for each in tensors],
        )
        check: _Look = guards.check
        return check if check(*tensors) is True else None
    except (AttributeError, TypeError, ValueError, RuntimeError, SystemError):
        return None


@lru_cache(maxsize=1)
def _looks_well() -> bool:
    """Whether it is what it was: sees each thing that `_is_as` asks for."""
    one = torch.zeros(2, 2, dtype=torch.float32, device="cpu")
    look = _made_look([one])
    if look is None or not look(one.repeat(2, 1)[1:3]):
        return False
    others = [one.double(), one.t(), one[:1], one.flatten(), torch._neg_view(one)]
    others += [one.to_sparse(), one.to("meta"), one[:1, :1].expand(2, 2)]
    others += [torch.nn.Parameter(one), one.as_subclass(_Other)]
    return not any(map(look, others))


class _Other(torch.Tensor):
    """A tensor that may be anything."""
