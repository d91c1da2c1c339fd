"""A batch for one call of the objective, which may do with it what it likes."""

import copy
from collections import UserDict
from typing import Any

import torch


def copy_of_batch(batch: Any) -> Any:
    """The same batch in containers and tensors of its own.

    An objective may `pop` the labels off a dict or write into its inputs; the batch
    is used again, and it is the training loop's. Of anything that is no container and
    no tensor there is no copy.

    >>> batch = {"labels": torch.ones(2)}
    >>> copied = copy_of_batch(batch)
    >>> copied.pop("labels") is batch["labels"], sorted(batch)
    (False, ['labels'])
    """
    if isinstance(batch, torch.Tensor):
        return _copy_of_tensor(batch)
    if type(batch) in (list, tuple):
        return type(batch)(map(copy_of_batch, batch))
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*map(copy_of_batch, batch))
    if isinstance(batch, dict | UserDict):
        copied = copy.copy(batch)
        for name in list(copied):
            copied[name] = copy_of_batch(copied[name])
        return copied
    return batch


def _copy_of_tensor(tensor: torch.Tensor) -> torch.Tensor:
    if isinstance(tensor, torch.nn.Parameter) or not tensor.is_leaf:
        return tensor  # a part of something that is trained
    return tensor.detach().clone().requires_grad_(tensor.requires_grad)
