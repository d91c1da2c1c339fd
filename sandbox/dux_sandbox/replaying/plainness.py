"""Which parameters a program runs over: plain tensors with memory of their own."""

from collections.abc import Sequence

import torch

from dux_sandbox.recorded.rows import DTYPES
from dux_sandbox.recorded.tape import Unrecordable

_KNOWN = frozenset(DTYPES.values())


def require_plain(parameters: Sequence[torch.Tensor]) -> None:
    """Refuse parameters that a program would take for something else.

    Raises:
        Unrecordable: one of them is no plain tensor, or two share memory.
    """
    places: set[int] = set()
    for index, parameter in enumerate(parameters):
        plain = type(parameter) in (torch.nn.Parameter, torch.Tensor)
        if not plain or parameter.layout is not torch.strided:
            raise Unrecordable(f"is over parameter {index}, no plain tensor", None)
        if parameter.dtype not in _KNOWN or parameter.is_meta:
            raise Unrecordable(f"is over parameter {index}, a {parameter.dtype}", None)
        place = parameter.untyped_storage().data_ptr()
        if parameter.numel() and place in places:
            raise Unrecordable(f"is over parameter {index}, part of another", None)
        places.add(place)
