"""Where the tensors of a step lie: looked at in each step, at little cost."""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from itertools import repeat
from typing import Any

import torch

from dux_sandbox.recorded.kernels.picking import picked

_pointer = torch.Tensor.data_ptr
_Look = Callable[..., bool]
Kind = tuple[torch.dtype, torch.Size]
Strides = tuple[int, ...]
_MOST_LOOKS = 8
"""Made for one layout; where the strides of tensors change more often, none is."""


class Layout:
    """Tensors that a step reads and writes, held against what they must be.

    Of a tensor that lies otherwise than its kernels go (see `Memory`) they have
    a copy, for one step. No tensor is held on to between steps.

    Attributes:
        places: of each of them in a table.
        pointers: of each of them, after `point`.
        moves: how often `point` has met another pointer.
        looks: how often `follow` has met other dtypes, shapes or strides.
        copies: by their places, the strides that copies have.
    """

    def __init__(
        self,
        places: Sequence[int],
        kinds: Sequence[Kind],
        written: Collection[int],
        device: torch.device,
    ) -> None:
        """Of tensors of these dtypes and shapes on a device.

        Args:
            written: the places of those that kernels write to.
        """
        self.places, self._kinds = places, kinds
        self._written = [at in written for at in places]
        self._device = device
        self._pick = picked(places)
        self._look: _Look | None = None
        self.looks = 0
        self.pointers: list[int] = []
        self.moves = 0
        self.copies: Mapping[int, Strides] = {}
        self._copied: list[tuple[torch.Tensor, torch.Tensor, bool]] = []

    def follow(self, table: Sequence[Any]) -> Sequence[torch.Tensor] | None:
        """Its tensors in a table, if kernels can work on them.

        They cannot on what is not dense, not on the device or not of the dtype and
        shape that it should be, nor write where elements share memory. Whoever holds a
        tensor can put other memory, another shape or dtype into it: so each is looked
        at.
        """
        tensors = self._pick(table)
        if self._look is None or not self._look(*tensors):
            device = repeat(self._device)
            if not all(map(_is_as, tensors, self._kinds, self._written, device)):
                return None
            self._look = _look_of(tensors) if self.looks < _MOST_LOOKS else None
            self.looks += 1
        return tensors

    def point(self, tensors: Sequence[torch.Tensor]) -> None:
        """Find where the tensors of `follow` are, and copy those of `copies`."""
        if self.copies:
            tensors = self._copy(tensors)
        pointers = list(map(_pointer, tensors))
        if pointers != self.pointers:
            self.pointers = pointers
            self.moves += 1

    def _copy(self, tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        made, self._copied = list(tensors), []
        for index, at in enumerate(self.places):
            if at in self.copies:
                tensor = tensors[index].detach()
                copy = torch.empty_strided(
                    tensor.shape,
                    self.copies[at],
                    dtype=tensor.dtype,
                    device=tensor.device,
                ).copy_(tensor)
                made[index] = copy
                self._copied.append((tensor, copy, self._written[index]))
        return made

    def put_back(self) -> None:
        """Bring what was written to copies to the tensors that they are of."""
        for tensor, copy, is_written in self._copied:
            if is_written:
                tensor.copy_(copy)

    def release(self) -> None:
        """Let go of copies, whether or not a step was taken."""
        self._copied = []


def _is_as(tensor: Any, kind: Kind, written: bool, device: torch.device) -> bool:
    """Whether its memory, on the device, holds its values: of what is written, each
    its own."""
    return (
        type(tensor) in (torch.Tensor, torch.nn.Parameter)
        and tensor.layout is torch.strided
        and tensor.device == device
        and not tensor.is_conj()
        and not tensor.is_neg()
        and (tensor.dtype, tensor.shape) == kind
        and (tensor.is_contiguous() or not (written and 0 in tensor.stride()))
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
