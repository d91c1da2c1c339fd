"""What a loss has to be: one number, or a tensor of one element."""

from typing import Any

import torch


def scalar_loss(
    loss: Any, *, tensor: bool = False, error: type[ValueError] = ValueError
) -> Any:
    """A loss as it can be added up: a tensor without its graph, or a float.

    The value of a tensor is not looked at: it may lie on a device, which would be
    waited for.

    Args:
        tensor: only a tensor will do, as of an objective.
        error: raised where it is no scalar.

    >>> scalar_loss(torch.ones(1, 1)), scalar_loss(2)
    (tensor([[1.]]), 2.0)
    """
    if isinstance(loss, torch.Tensor):
        if loss.numel() == 1:
            return loss.detach() if loss.requires_grad else loss
        raise error(
            f"the loss is a tensor of shape {tuple(loss.shape)}; a scalar was wanted; "
            f"reduce it in the objective, for instance by .mean()."
        )
    if tensor:
        several = isinstance(loss, tuple | list | dict)
        remedy = "the loss alone" if several else "the loss before .item()"
        raise error(
            f"the objective returned a {type(loss).__name__}; a scalar tensor was "
            f"wanted; return {remedy}."
        )
    try:
        return float(loss)
    except (TypeError, ValueError):
        raise error(
            f"the loss is a {type(loss).__name__}; a scalar tensor or a number was "
            f"wanted; pass what the objective returned."
        ) from None
