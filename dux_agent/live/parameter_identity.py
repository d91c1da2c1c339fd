"""Whether a checkpoint was taken over these very parameters: shapes and dtypes.

torch loads state of any shape without a word, and the first step fails, or goes wrong
where shapes happen to broadcast.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

ParameterIdentity = list[Any]

# What torch's optimizers, and most after them, keep in the shape of the parameter.
_SHAPED = {
    *("acc_delta", "ax", "exp_avg", "exp_avg_sq", "exp_inf", "grad_avg"),
    *("max_exp_avg_sq", "momentum_buffer", "prev", "square_avg", "sum"),
}


def identities_of(parameters: Sequence[torch.Tensor]) -> list[ParameterIdentity]:
    """`[shape, dtype]` of each, as plain data.

    >>> identities_of([torch.ones(2, 3)])
    [[[2, 3], 'float32']]
    """
    return [
        [list(each.shape), str(each.dtype).removeprefix("torch.")]
        for each in parameters
    ]


def require_same_identities(
    parameters: Sequence[torch.Tensor],
    saved: Sequence[ParameterIdentity] | None,
    state: Mapping[int, Mapping[str, Any]],
) -> None:
    """Raise ValueError unless these are parameters like those of a checkpoint.

    Args:
        parameters: groups in order, then parameters in order.
        saved: what `identities_of` gave of those; None where the checkpoint does not
            say, as one of a plain torch optimizer: then its state is looked at.
        state: its state by the place of the parameter.
    """
    here = identities_of(parameters)
    if saved is not None:
        if len(saved) != len(here):
            raise ValueError(
                f"the checkpoint tells the shapes of {len(saved)} parameters and has "
                f"{len(here)}; one that nobody changed was wanted; load another."
            )
        for index, (mine, other) in enumerate(zip(here, saved, strict=True)):
            if mine != other:
                raise _other(index, _said(mine), _said(other))
        return
    for index, entry in state.items():
        for name, value in entry.items():
            shaped = isinstance(value, torch.Tensor) and value.ndim > 0
            if shaped and name in _SHAPED and value.shape != parameters[index].shape:
                raise _other(index, _said(here[index]), f"{tuple(value.shape)}")


def _said(make: ParameterIdentity) -> str:
    shape, dtype = make
    return f"{tuple(shape)} {dtype}"


def _other(index: int, here: str, there: str) -> ValueError:
    return ValueError(
        f"parameter {index} is {here} and was {there} in the checkpoint; the very "
        f"parameters that it was taken over were wanted; load it over a model of the "
        f"same shapes and dtypes. Nothing was changed."
    )
