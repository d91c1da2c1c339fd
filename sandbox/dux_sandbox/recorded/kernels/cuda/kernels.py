"""A compiled kernel on a CUDA device, and how it is called over its strands."""

import ctypes
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Protocol

import torch

from dux_sandbox.recorded.kernels.chains import Chain
from dux_sandbox.recorded.kernels.cuda.prelude import BLOCK, THREADS
from dux_sandbox.recorded.kernels.kernel import Given


class Arguments(ctypes.Structure):
    """`struct call` of `prelude`."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("buffers", "numbers", "row")),
        *((name, ctypes.c_void_p) for name in ("elements", "blocks_to", "strand")),
        *((name, ctypes.c_void_p) for name in ("partial", "bad")),
        *((name, ctypes.c_int64) for name in ("turn", "strands")),
    ]


class Launches(Protocol):
    """What a kernel asks of a device; `driver.Device` is one."""

    device: torch.device

    def launch(
        self, function: int, blocks: int, threads: int, arguments: ctypes.Structure
    ) -> None:
        """Run a function with one argument, by value, in the current stream."""

    def upload(self, block: ctypes.Array[ctypes.c_int64], count: int) -> torch.Tensor:
        """The first words of a block on the device, without waiting for it."""


class CudaKernel:
    """The machine code of one chain, loaded into a device."""

    def __init__(
        self, chain: Chain, device: Launches, functions: Mapping[str, int]
    ) -> None:
        """Use the functions "run" and "finish" that were loaded."""
        self.chain = chain
        self.device = device
        self.run = functions["run"]
        self.finish = functions.get("finish")

    def bind(self, elements: Sequence[int], widths: Sequence[int]) -> "BoundCuda":
        """See `Kernel.bind`."""
        return BoundCuda(self, elements)


class BoundCuda(Given):
    """A kernel with the strands that it is called over; see `BoundKernel`.

    What changes from call to call - pointers, numbers, rows - is one block of words,
    copied to the device in the order of the stream: a step that is still running there
    keeps its own.
    """

    def __init__(self, kernel: CudaKernel, elements: Sequence[int]) -> None:
        """Make room for strands of so many elements each."""
        chain, count = kernel.chain, len(elements)
        self._kernel, self._count = kernel, count
        pieces = [-(-each // BLOCK) for each in elements]
        self._blocks = sum(pieces)
        self._pointers = count * chain.buffers
        self._words = self._pointers + count * (chain.numbers + 1)
        self._block = (ctypes.c_int64 * max(1, self._words))()
        at = ctypes.addressof(self._block)
        self._buffers = (ctypes.c_int64 * self._pointers).from_address(at)
        self._row = (ctypes.c_int64 * count).from_address(at + self._pointers * 8)
        after = at + (self._pointers + count) * 8
        self._numbers = (ctypes.c_double * (count * chain.numbers)).from_address(after)
        self._row[:] = list(range(count))
        device = kernel.device.device
        strands = [at for at, many in enumerate(pieces) for _ in range(many)]
        self._strand = torch.tensor(strands, dtype=torch.int32).to(device)
        fixed = [*elements, *accumulate(pieces), 0]
        self._fixed = torch.tensor(fixed, dtype=torch.int64).to(device)
        first = self._fixed.data_ptr()
        self._arguments = Arguments(
            elements=first,
            blocks_to=first + count * 8,
            bad=first + count * 16,
            strand=self._strand.data_ptr(),
            strands=count,
        )

    @property
    def finite(self) -> torch.Tensor:
        """See `BoundKernel.finite`."""
        return self._fixed[-1] != int(self._arguments.turn)

    def call(self) -> None:
        """See `BoundKernel.call`."""
        kernel, arguments = self._kernel, self._arguments
        device, reduces = kernel.device, len(kernel.chain.reduces)
        given = device.upload(self._block, self._words)
        first = given.data_ptr()
        arguments.buffers = first
        arguments.row = first + self._pointers * 8
        arguments.numbers = first + (self._pointers + self._count) * 8
        arguments.turn += 1
        if reduces:
            partial = torch.empty(
                self._blocks * reduces, dtype=torch.float64, device=device.device
            )
            arguments.partial = partial.data_ptr()
        device.launch(kernel.run, self._blocks, THREADS, arguments)
        if kernel.finish is not None:
            device.launch(kernel.finish, self._count, THREADS, arguments)
