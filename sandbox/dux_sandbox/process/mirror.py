"""A mirror of the parameters and gradients, in memory that one child can see.

The trainer's tensors stay the trainer's: nothing of theirs is ever moved, replaced or
hooked. Before a step their values and gradients are copied into the mirror, the rule
works there, and after a step that went well the values are copied back into the same
tensors. So whoever wrote to a parameter in the meantime is followed, and what a child
writes into the mirror between two steps is gone before the next one.

The block has no name in any file system: nothing is left behind however the
processes end.
"""

import mmap
import os
import tempfile
import weakref
from collections.abc import Iterable
from typing import Any

import torch

from dux_sandbox.gradients import dense, is_dense
from dux_sandbox.process.places import (
    CannotMirror,
    block_size,
    lay_out,
    memory_of,
    reason_against,
)
from dux_sandbox.values import ValueRefused

_INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


class Mirror:
    """The trainer's side of the memory that one rule's process works on.

    Attributes:
        parameters: the live ones, on any device.
        places: where each of them lies in the block.
        size: of the block, bytes.
        descriptor: of the block, to be passed to the child; -1 once closed.
        values, gradients: views of the block, one of each for every parameter.
    """

    def __init__(
        self, parameters: list[torch.Tensor], memory: int | None = None
    ) -> None:
        """Make the block; the parameters are only read.

        Args:
            parameters: each once; any dtype of `dux_sandbox.values`.
            memory: descriptor of `size_for(parameters)` bytes that are zero.

        Raises:
            CannotMirror: a parameter that no child can be shown.
        """
        self.size = size_for(parameters)
        self.parameters = list(parameters)
        self.places, _ = lay_out(parameters)
        self.descriptor = new_memory(self.size) if memory is None else memory
        self._dropped = weakref.finalize(self, os.close, self.descriptor)
        self._map = mmap.mmap(self.descriptor, self.size)
        self._block = torch.frombuffer(self._map, dtype=torch.uint8)
        self._lie = [memory_of(parameter) for parameter in parameters]
        self._look()
        self._present: list[bool] = []

    def _look(self) -> None:
        self.values = [place.values(self._block) for place in self.places]
        self.gradients = [place.gradient(self._block) for place in self.places]

    def follow(self) -> list[list[Any]]:
        """Take note of parameters that lie in other memory since the last call.

        Returns:
            `[index, place]` of each whose place in the block is another one now,
            which the child has to be told.

        Raises:
            ValueRefused: what the rule has learned cannot fit any more: a parameter
                has another shape, dtype or device, or cannot be mirrored.
        """
        now = [memory_of(parameter) for parameter in self.parameters]
        if now == self._lie:
            return []
        for index, parameter in enumerate(self.parameters):
            reason = reason_against(parameter)
            if reason is None and now[index][2:] != self._lie[index][2:]:
                reason = (
                    f"is {tuple(parameter.shape)} {parameter.dtype} on "
                    f"{parameter.device} and was another"
                )
            if reason is not None:
                raise ValueRefused(f"parameter {index} {reason}")
        places, used = lay_out(self.parameters)
        if used > self.size:
            raise ValueRefused("the parameters overlap as they did not before")
        moved = [
            [index, place.as_list()]
            for index, place in enumerate(places)
            if place != self.places[index]
        ]
        self._lie = now
        if moved:
            self.places = places
            self._look()
        return moved

    def present(self) -> list[bool]:
        """Which parameters have a gradient now."""
        return [parameter.grad is not None for parameter in self.parameters]

    @torch.no_grad()
    def copy_in(self) -> list[bool]:
        """Bring values and gradients into the block; which parameters have one.

        All values are copied, whether or not they differ: that costs as much as the
        comparison would (5.4 ms against 5.1 ms for 25 million float32), and nothing
        can be overlooked. All arrive dense.

        Raises:
            ValueRefused: a gradient is not of its parameter's shape and dtype.
        """
        if self.parameters:
            torch._foreach_copy_(self.values, self.parameters)
        self._present = self.present()
        targets, given = [], []
        for index, parameter in enumerate(self.parameters):
            gradient = parameter.grad
            if gradient is None:
                continue
            target = self.gradients[index]
            if gradient.shape != target.shape or gradient.dtype != target.dtype:
                raise ValueRefused(
                    f"the gradient of parameter {index} has shape "
                    f"{tuple(gradient.shape)} and dtype {gradient.dtype}; it must be "
                    f"as the parameter's"
                )
            targets.append(target)
            given.append(dense(gradient))
        if targets:
            torch._foreach_copy_(targets, given)
        return self._present

    @torch.no_grad()
    def copy_out(self) -> None:
        """Bring the values into the live parameters, in place.

        A parameter without a gradient is written only where its values differ: no
        step of torch's own would write to it.
        """
        targets, given = [], []
        for index, parameter in enumerate(self.parameters):
            value = self.values[index]
            if self._present[index] or not same_bits(parameter, value):
                targets.append(parameter)
                given.append(value)
        if targets:
            torch._foreach_copy_(targets, given)

    @torch.no_grad()
    def copy_gradients_out(self, indices: Iterable[int]) -> None:
        """Bring these gradients into the live ones, in place, where those are dense."""
        for index in indices:
            gradient = self.parameters[index].grad
            if gradient is not None and is_dense(gradient):
                gradient.copy_(self.gradients[index])

    def rest(self) -> None:
        """Give the block's memory back until the next step fills it again."""
        if self.descriptor >= 0 and hasattr(mmap, "MADV_REMOVE"):
            self._map.madvise(mmap.MADV_REMOVE)

    def close(self) -> None:
        """Let go of the block; can be called twice."""
        if self.descriptor < 0:
            return
        self._dropped()
        self.descriptor = -1
        self.values, self.gradients = [], []
        del self._block, self._map


def size_for(parameters: list[torch.Tensor]) -> int:
    """Bytes of the block of a mirror of these. Raises CannotMirror."""
    for index, parameter in enumerate(parameters):
        reason = reason_against(parameter)
        if reason is not None:
            raise CannotMirror(
                f"parameter {index} {reason}; a rule's process wants strided "
                f"tensors of a usual dtype; leave it out of the optimizer."
            )
    return block_size(parameters)


def new_memory(size: int) -> int:
    """A descriptor of `size` bytes of anonymous memory that can be passed on."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("dux-mirror", os.MFD_CLOEXEC)
    else:  # macOS: a file that is unlinked before anybody can find it
        descriptor, path = tempfile.mkstemp(prefix="dux-mirror-")
        os.unlink(path)
    os.ftruncate(descriptor, size)
    return descriptor


def same_bits(parameter: torch.Tensor, value: torch.Tensor) -> bool:
    """Whether two tensors of one shape and dtype hold the same, bit for bit.

    A NaN is itself here, and 0.0 is not -0.0.
    """
    here = parameter.detach().to(value.device)
    if here.is_complex():
        here, value = torch.view_as_real(here.resolve_conj()), torch.view_as_real(value)
    kind = _INTEGERS[here.element_size()]
    return torch.equal(here.view(kind), value.view(kind))
