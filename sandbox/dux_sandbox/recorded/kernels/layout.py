"""Where the tensors of a step lie: looked at in each step, at little cost."""

from __future__ import annotations

from collections.abc import Sequence
from operator import is_
from typing import Any

import torch

_pointer = torch.Tensor.data_ptr
_contiguous = torch.Tensor.is_contiguous


class Layout:
    """The tensors that a step reads and writes, held against what they must be.

    Attributes:
        pointers: of each of them, after `follow`.
    """

    def __init__(
        self, kinds: Sequence[tuple[torch.dtype, torch.Size]], passing: Sequence[bool]
    ) -> None:
        """Of tensors of these dtypes and shapes.

        Args:
            passing: which of them come and go, as gradients do, and are not held.
        """
        self._dtypes = [dtype for dtype, _ in kinds]
        self._shapes = [shape for _, shape in kinds]
        self._passing = [at for at, each in enumerate(passing) if each]
        self._staying = [at for at, each in enumerate(passing) if not each]
        self._known: list[Any] = [None] * len(self._staying)
        self.pointers: list[int] = []

    def follow(self, tensors: Sequence[Any]) -> bool:
        """Whether kernels can work on these; their pointers are known then.

        They cannot on what is not dense, not contiguous, not in the CPU's memory or not
        of the dtype and shape that it should be.
        """
        if not all(_is_plain(tensors[at]) for at in self._passing):
            return False
        staying = [tensors[at] for at in self._staying]
        if not all(map(is_, staying, self._known)):
            if not all(map(_is_plain, staying)):
                return False
            self._known = staying
        # Whoever holds a tensor can put other memory, another shape or dtype into it.
        if not all(map(_contiguous, tensors)):
            return False
        if [each.dtype for each in tensors] != self._dtypes:
            return False
        if [each.shape for each in tensors] != self._shapes:
            return False
        self.pointers = list(map(_pointer, tensors))
        return True


def _is_plain(tensor: torch.Tensor) -> bool:
    """Whether its memory holds its values, and the CPU can read it."""
    return (
        isinstance(tensor, torch.Tensor)
        and type(tensor) in (torch.Tensor, torch.nn.Parameter)
        and tensor.layout is torch.strided
        and tensor.device.type == "cpu"
        and not tensor.is_conj()
        and not tensor.is_neg()
    )
