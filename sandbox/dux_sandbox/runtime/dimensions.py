"""How many dimensions tensors have.

torch sorts dimensions two by two, repeats and rolls once for each, and turns tensors
into lists by calling itself: thousands of dimensions of one element each take minutes,
or the C stack.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from dux_sandbox.language import torch_names, vocabulary

Check = Callable[..., None]


def check_dimensions(count: int) -> None:
    """Refuse a tensor of more than `vocabulary.DIMENSIONS` dimensions.

    Raises:
        ValueError: `count` is over the cap.
    """
    if count > vocabulary.DIMENSIONS:
        raise ValueError(
            f"a tensor of {count} dimensions, or as many at once; at most "
            f"{vocabulary.DIMENSIONS}; keep to the dimensions of the parameter"
        )


def sizes(*arguments: Any, **options: Any) -> None:
    """Refuse more sizes, shifts or places than a tensor may have dimensions."""
    check_dimensions(len(arguments) - 1)  # the tensor itself may be among them
    for value in (*arguments, *options.values()):
        if isinstance(value, (list, tuple)):
            check_dimensions(len(value))


def one_more(*arguments: Any, **options: Any) -> None:
    """Refuse to add a dimension to a tensor, or to a list of them, that has all."""
    given = arguments[0] if arguments else next(iter(options.values()), ())
    for each in given if isinstance(given, (list, tuple)) else (given,):
        if isinstance(each, torch.Tensor):
            check_dimensions(each.ndim + 1)


def unflattened(*arguments: Any, **options: Any) -> None:
    """Refuse to make one dimension more of them than there may be."""
    given = [*arguments, *options.values()]
    there = sum(each.ndim for each in given if isinstance(each, torch.Tensor))
    made = sum(len(each) for each in given if isinstance(each, (list, tuple)))
    check_dimensions(there + made - 1)


def together(*tensors: Any, **_: Any) -> None:
    """Refuse tensors that have more dimensions together."""
    check_dimensions(sum(t.ndim for t in tensors if isinstance(t, torch.Tensor)))


# The same as a function and as a method.
_EITHER: dict[str, Check] = {
    **dict.fromkeys("reshape roll tile".split(), sizes),
    **dict.fromkeys("diag_embed nanquantile quantile unsqueeze".split(), one_more),
    "unflatten": unflattened,
}
METHODS: dict[str, Check] = {
    **_EITHER,
    **dict.fromkeys(
        "expand new_empty new_full new_ones new_zeros repeat view".split(), sizes
    ),
    "unfold": one_more,
}
FUNCTIONS: dict[str, Check] = {
    **{f"torch.{name}": check for name, check in _EITHER.items()},
    **{
        f"torch.{name}": sizes
        for name in """broadcast_to empty full meshgrid normal ones rand randint randn
        zeros""".split()
    },
    **{f"torch.fft.{name}": sizes for name in torch_names.FFT},
    "torch.nn.functional.one_hot": one_more,
    "torch.stack": one_more,
    "torch.tensordot": together,
    "torch.view_as_real": one_more,
}
