"""What a rule picks with a mask, `x[mask]`.

How many elements that is no program can know. So what was picked stands for all of the
tensor: it may be computed with element by element, and goes back by the same mask.
"""

from collections.abc import Iterable
from typing import Any

import torch

from dux_sandbox.recorded.aten_names import TRANSLATIONS
from dux_sandbox.recorded.operations import TABLE
from dux_sandbox.recorded.storages import Storages
from dux_sandbox.recorded.tape import Tape

_ALSO = frozenset(
    [
        *("copy", "fill", "zero", "clamp", "div", "_to_copy", "clone", "detach"),
        *("zeros_like", "ones_like", "full_like", "empty_like"),
    ]
)


class Selecting:
    """The tensors of one recording that a mask has picked."""

    def __init__(self, tape: Tape, storages: Storages) -> None:
        """None yet."""
        self._tape = tape
        self._storages = storages

    def picked(self, bound: dict[str, Any]) -> torch.Tensor | None:
        """What `x[mask]` gives, or None where it is an index of another kind."""
        mask, target = _mask_in(bound), bound["self"]
        if mask is None or self._mask_of(target) is not None:
            return None
        shape = (mask.numel(), *target.shape[mask.ndim :])
        made = torch.empty(shape, dtype=target.dtype, device="meta")
        value = self._storages.read(target)
        value = self._tape.emit("reshape", (value,), shape=list(shape))
        self._storages.put(made, value)
        self.mark([made], self._storages.read(mask))
        return made

    def put_back(self, bound: dict[str, Any]) -> bool:
        """Write `x[mask] = y` where y was picked; False where it was not."""
        values, mask, target = bound["values"], _mask_in(bound), bound["self"]
        by = self._mask_of(values)
        if by is None:
            return False
        if mask is None or by != self._storages.read(mask):
            raise self._refuse()
        shape = [*mask.shape, *[1] * (target.ndim - mask.ndim)]
        asked = self._tape.emit("reshape", (by,), shape=shape)
        value = self._storages.read(values)
        value = self._tape.emit("reshape", (value,), shape=list(target.shape))
        before = self._storages.read(target)
        self._storages.write(target, self._tape.emit("where", (asked, value, before)))
        return True

    def mask(self, name: str, tensors: Iterable[torch.Tensor]) -> int | None:
        """The mask by which what an operation is given was picked, if it was.

        Raises:
            Unrecordable: the operation hangs on how many elements those are.
        """
        given = [each for each in tensors if each.ndim]
        masks = {self._mask_of(each) for each in given}
        if masks <= {None}:
            return None
        # torch looks at a single value in its own way, to put it somewhere.
        single = name == "view" and given[0].numel() == 1
        if len(masks) > 1 or not (single or _is_elementwise(name)):
            raise self._refuse()
        return masks.pop()

    def mark(self, tensors: Iterable[torch.Tensor], mask: int) -> None:
        """These were picked by a mask."""
        for each in tensors:
            self._storages.masks[each.untyped_storage()._cdata] = mask

    def _mask_of(self, tensor: torch.Tensor) -> int | None:
        return self._storages.masks.get(tensor.untyped_storage()._cdata)

    def _refuse(self) -> BaseException:
        return self._tape.refuse(
            "makes what has a shape that hangs on values (x[mask]) and hangs on it"
        )


def _mask_in(bound: dict[str, Any]) -> torch.Tensor | None:
    """The only index, where that is a mask of one dimension at least."""
    index, *others = bound["indices"]
    masks = index is not None and index.dtype is torch.bool and index.ndim
    return index if masks and not others else None


def _is_elementwise(name: str) -> bool:
    name = name.removesuffix("_")
    known = TRANSLATIONS.get(name)
    return name in _ALSO or (
        known is not None and TABLE[known.name].room == "elementwise"
    )
