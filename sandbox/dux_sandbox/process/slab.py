"""Parameters and gradients in one block of shared memory.

A rule in a child process works on the very bytes that the trainer's model uses.
The block has no name in any file system, so nothing is left behind however the
processes end.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from dataclasses import dataclass
from typing import Any

import torch

from dux_sandbox.values import DTYPE_NAMES, DTYPES, ValueRefused

_ALIGN = 64  # bytes; one cache line, and enough for any vector load


class CannotShare(ValueError):
    """These parameters cannot live in shared memory; says why and what to do."""


@dataclass(frozen=True)
class Place:
    """Where one parameter and its gradient lie.

    Attributes:
        shape: sizes. stride: elements, as the parameter had them. dtype: name.
        at: byte offset of the values; grad_at: byte offset of the gradient.
        requires_grad: as the parameter has it.
    """

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: str
    at: int
    grad_at: int
    requires_grad: bool

    def as_list(self) -> list[Any]:
        """Plain data for the child."""
        return [
            list(self.shape),
            list(self.stride),
            self.dtype,
            self.at,
            self.grad_at,
            self.requires_grad,
        ]


def reasons_not_to_share(parameters: list[torch.Tensor]) -> list[str | None]:
    """For each parameter, why it cannot move to shared memory; None if it can."""
    owners: dict[int, int] = {}
    reasons: list[str | None] = []
    for index, parameter in enumerate(parameters):
        reason = None
        storage = 0
        if type(parameter.data) is not torch.Tensor or parameter.is_sparse:
            reason = f"is a {type(parameter.data).__name__}"
        elif parameter.device.type != "cpu":
            reason = f"is on {parameter.device}, not on the CPU"
        elif parameter.dtype not in DTYPE_NAMES:
            reason = f"has dtype {parameter.dtype}"
        elif parameter.numel() and not _dense(parameter):
            reason = "overlaps itself or has gaps"
        elif parameter.numel():
            storage = parameter.untyped_storage().data_ptr()
            if storage in owners:
                reason = f"shares its memory with parameter {owners[storage]}"
            owners[storage] = index
        reasons.append(reason and f"parameter {index} {reason}")
    return reasons


def _dense(tensor: torch.Tensor) -> bool:
    """Whether the elements fill one block of memory in some order, without gaps."""
    expected = 1
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size == 1:
            continue
        if stride != expected:
            return False
        expected *= size
    return True


def _memory(size: int) -> int:
    """A descriptor of `size` bytes of anonymous memory that can be passed on."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("dux-slab", os.MFD_CLOEXEC)
    else:  # macOS: a file that is unlinked before anybody can find it
        descriptor, path = tempfile.mkstemp(prefix="dux-slab-")
        os.unlink(path)
    os.ftruncate(descriptor, size)
    return descriptor


def view(block: torch.Tensor, place: Place, at: int) -> torch.Tensor:
    """A tensor over `block` (1-d uint8) at byte `at`, as `place` describes it."""
    dtype = DTYPES[place.dtype]
    count = 1
    for size in place.shape:
        count *= size
    flat = block[at : at + count * dtype.itemsize].view(dtype)
    return flat.as_strided(place.shape, place.stride, flat.storage_offset())


class Slab:
    """The shared block, and the trainer's side of every gradient in it.

    `adopt` moves parameters in (`p.data` now lies in the block; the parameter's
    identity stays). `release` moves them out again. A parameter that cannot move,
    one on a GPU for instance, can be mirrored: copied in before and out after every
    step, which is fit for a dry run.
    """

    def __init__(self, parameters: list[torch.Tensor], *, mirror: bool = False) -> None:
        """Lay the block out for these parameters; nothing is moved yet.

        Args:
            parameters: each once; any dense dtype of `dux_sandbox.values`.
            mirror: copy back and forth what cannot live in the block.

        Raises:
            CannotShare: a parameter that cannot live there.
        """
        reasons = reasons_not_to_share(parameters)
        blocking = [
            reason
            for reason, parameter in zip(reasons, parameters, strict=True)
            if reason and (not mirror or parameter.dtype not in DTYPE_NAMES)
        ]
        if blocking:
            raise CannotShare(
                f"{blocking[0]}; isolated execution wants dense CPU parameters with "
                f"memory of their own; pass execution='inline' for this model."
            )
        self._mirrored = [reason is not None for reason in reasons]
        self.parameters = parameters
        self.places: list[Place] = []
        at = 0
        for parameter, mirrored in zip(parameters, self._mirrored, strict=True):
            strides = torch.empty(parameter.shape, device="meta").stride()
            size = -(-parameter.numel() * parameter.element_size() // _ALIGN) * _ALIGN
            self.places.append(
                Place(
                    tuple(parameter.shape),
                    tuple(strides if mirrored else parameter.stride()),
                    DTYPE_NAMES[parameter.dtype],
                    at,
                    at + size,
                    parameter.requires_grad,
                )
            )
            at += 2 * size
        self.size = max(at, _ALIGN)
        self.descriptor = _memory(self.size)
        self._map = mmap.mmap(self.descriptor, self.size)
        self._block = torch.frombuffer(self._map, dtype=torch.uint8)
        self._values = [view(self._block, place, place.at) for place in self.places]
        self.gradients = [
            view(self._block, place, place.grad_at) for place in self.places
        ]
        self._touched = [True] * len(parameters)
        self._versions = [-1] * len(parameters)
        self._hooks: list[Any] = []
        self.adopted = False
        self._holders = 0

    def hold(self) -> None:
        """One more rule works on this memory."""
        self._holders += 1

    def drop(self) -> None:
        """One rule less; after the last one the parameters move out again."""
        self._holders -= 1
        if self._holders <= 0:
            self.release()

    def adopt(self) -> None:
        """Move the parameters' memory into the block; gradients follow."""
        if self.adopted:
            return
        for index, parameter in enumerate(self.parameters):
            if self._mirrored[index]:
                continue
            value = self._values[index]
            value.copy_(parameter.detach())
            parameter.data = value
            if parameter.grad is not None:
                self._take_gradient(index, parameter.grad)
                parameter.grad = self.gradients[index]
            if parameter.requires_grad:
                self._hooks.append(
                    parameter.register_post_accumulate_grad_hook(self._mark(index))
                )
        self.adopted = True

    def _mark(self, index: int) -> Any:
        touched = self._touched

        def mark(_: torch.Tensor) -> None:
            touched[index] = True

        return mark

    def forget_gradients(self) -> None:
        """What `zero_grad(set_to_none=True)` means here: zero, in place, and absent.

        A gradient that the next backward pass does not reach counts as missing,
        as if it had been set to None.
        """
        for index, parameter in enumerate(self.parameters):
            if not parameter.requires_grad:
                continue
            if self._mirrored[index]:
                parameter.grad = None
                continue
            gradient = self.gradients[index]
            gradient.zero_()
            self._touched[index] = False
            self._versions[index] = gradient._version
            if parameter.grad is not gradient:
                parameter.grad = gradient

    def zero_gradients(self) -> None:
        """What `zero_grad(set_to_none=False)` means: present ones become zero."""
        for parameter in self.parameters:
            if parameter.grad is not None:
                with torch.no_grad():
                    parameter.grad.zero_()

    def gather_gradients(self) -> list[bool]:
        """Bring every gradient into the block; tells which parameters have one."""
        present = []
        for index, parameter in enumerate(self.parameters):
            gradient = parameter.grad
            if self._mirrored[index]:
                self._values[index].copy_(parameter.detach())
                if gradient is not None:
                    self._take_gradient(index, gradient)
                present.append(gradient is not None)
            elif gradient is None:
                present.append(False)
            elif gradient is self.gradients[index]:
                present.append(self._reached(index))
            else:
                self._take_gradient(index, gradient)
                parameter.grad = self.gradients[index]
                present.append(True)
        return present

    def scatter(self) -> None:
        """Copy mirrored parameters back out, after a step."""
        for index, parameter in enumerate(self.parameters):
            if self._mirrored[index]:
                with torch.no_grad():
                    parameter.copy_(self._values[index])

    def _reached(self, index: int) -> bool:
        if self._touched[index]:
            return True
        # clip_grad_norm_ and GradScaler.unscale_ scale every gradient, also the
        # ones that no backward pass reached: those are still zero throughout.
        gradient = self.gradients[index]
        return gradient._version != self._versions[index] and bool(gradient.any())

    def _take_gradient(self, index: int, gradient: torch.Tensor) -> None:
        dense = gradient.to_dense() if gradient.is_sparse else gradient
        target = self.gradients[index]
        if dense.shape != target.shape or dense.dtype != target.dtype:
            raise ValueRefused(
                f"the gradient of parameter {index} has shape {tuple(dense.shape)} "
                f"and dtype {dense.dtype}; it must be as the parameter's"
            )
        with torch.no_grad():
            target.copy_(dense)
        self._touched[index] = True

    def release(self) -> None:
        """Move parameters and gradients back to ordinary memory; can be repeated."""
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()
        if self.adopted:
            present = self.gather_gradients()
            for index, parameter in enumerate(self.parameters):
                if self._mirrored[index]:
                    continue
                parameter.data = parameter.detach().clone()
                parameter.grad = (
                    self.gradients[index].clone() if present[index] else None
                )
            self.adopted = False
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1
