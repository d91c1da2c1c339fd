"""Which parameters a program runs over: plain tensors with memory of their own."""

from collections.abc import Sequence
from itertools import pairwise

import torch

from dux_sandbox.recorded.rows import DTYPES
from dux_sandbox.recorded.tape import Unrecordable

_KNOWN = frozenset(DTYPES.values())


def require_plain(parameters: Sequence[torch.Tensor]) -> None:
    """Refuse parameters that a program would take for something else.

    Raises:
        Unrecordable: one of them is no plain tensor, or lies in between another's
            elements. Pieces of one buffer that lie apart, as those of an LSTM on a CUDA
            device, are tensors as others are.
    """
    for index, parameter in enumerate(parameters):
        plain = type(parameter) in (torch.nn.Parameter, torch.Tensor)
        if not plain or parameter.layout is not torch.strided:
            raise Unrecordable(f"is over parameter {index}, no plain tensor", None)
        if parameter.dtype not in _KNOWN or parameter.is_meta:
            raise Unrecordable(f"is over parameter {index}, a {parameter.dtype}", None)
    Apart(parameters).look()


class Apart:
    """Whether parameters lie in each other's memory: a loop may give them another's.

    A program reads all before it writes any; a rule that goes from one parameter to the
    next does not.
    """

    def __init__(self, parameters: Sequence[torch.Tensor]) -> None:
        """Of these; they are not looked at yet."""
        self._parameters = parameters
        self._kinds = [(each.shape, each.dtype) for each in parameters]
        self._pointers: list[int] = []

    def look(self) -> None:
        """Look at them, where one has moved since it was last done.

        Raises:
            Unrecordable: one of them has another shape or dtype than at first, or lies
                in between another's elements.
        """
        for index, (each, kind) in enumerate(
            zip(self._parameters, self._kinds, strict=True)
        ):
            if (each.shape, each.dtype) != kind:
                raise Unrecordable(f"is over parameter {index}, of another shape", None)
        pointers = list(map(torch.Tensor.data_ptr, self._parameters))
        if pointers == self._pointers:
            return
        spans = sorted(
            (each.device.type, each.device.index or 0, *_span(each), index)
            for index, each in enumerate(self._parameters)
            if each.numel()
        )
        for (*there, _, end, first), (*here, begin, _, second) in pairwise(spans):
            if there == here and begin < end:
                index = max(first, second)
                raise Unrecordable(f"is over parameter {index}, part of another", None)
        self._pointers = pointers


def _span(tensor: torch.Tensor) -> tuple[int, int]:
    """The addresses of its first byte and of the one after its last."""
    reach = sum(
        (size - 1) * stride
        for size, stride in zip(tensor.shape, tensor.stride(), strict=True)
    )
    begin = tensor.data_ptr()
    return begin, begin + (reach + 1) * tensor.element_size()
