"""A memory of its own for every tensor that a step leaves."""

from typing import Any

import torch


class Owning:
    """Gives every tensor that is kept a memory of its own.

    Args:
        held: what has one already.
    """

    def __init__(self, held: list[torch.Tensor]) -> None:
        self._places = {each.untyped_storage().data_ptr() for each in held}

    def own(self, value: Any, target: torch.Tensor | None) -> Any:
        """The value, or a copy of it where its memory is anything else's.

        Args:
            target: what it is written into; it may be that itself.
        """
        if not isinstance(value, torch.Tensor) or not value.numel():
            return value
        storage = value.untyped_storage()
        if target is not None and same_place(value, target):
            return value
        shared = storage.data_ptr() in self._places
        if shared or (
            target is None and storage.nbytes() != value.numel() * value.element_size()
        ):
            value = value.clone()
        self._places.add(value.untyped_storage().data_ptr())
        return value


def same_place(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two tensors are the same piece of memory."""
    return one.data_ptr() == other.data_ptr() and one.stride() == other.stride()
