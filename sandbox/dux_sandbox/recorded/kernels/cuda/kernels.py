"""A compiled kernel on a CUDA device, and how it is called over its strands."""

import ctypes
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Protocol

import torch

from dux_sandbox.recorded.kernels.chains import Chain
from dux_sandbox.recorded.kernels.cuda.prelude import BLOCK, THREADS
from dux_sandbox.recorded.kernels.cuda.tiles import Tiles, tiles_of
from dux_sandbox.recorded.kernels.kernel import Given


class Arguments(ctypes.Structure):
    """`struct call` of `prelude`."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("buffers", "numbers", "row")),
        *((name, ctypes.c_void_p) for name in ("elements", "blocks_to", "strand")),
        *((name, ctypes.c_void_p) for name in ("partial", "parts", "bad")),
        *((name, ctypes.c_void_p) for name in ("tiles", "place", "end")),
        ("turn", ctypes.c_int64),
    ]


class Launches(Protocol):
    """What a kernel asks of a device; `driver.Device` is one."""

    device: torch.device

    def launch(
        self, function: int, blocks: int, threads: int, arguments: ctypes.Structure
    ) -> None:
        """Run a function with one argument, by value, in the current stream."""

    def upload(
        self,
        block: ctypes.Array[ctypes.c_int64],
        count: int,
        into: torch.Tensor | None = None,
    ) -> torch.Tensor:
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
        return BoundCuda(self, elements, widths)


class BoundCuda(Given):
    """A kernel with the strands that it is called over; see `BoundKernel`.

    What changes from call to call - pointers, numbers, rows - is one block of words,
    copied to the device in the order of the stream: a step that is still running there
    keeps its own.
    """

    def __init__(
        self, kernel: CudaKernel, elements: Sequence[int], widths: Sequence[int]
    ) -> None:
        """Make room for strands of so many elements each, in rows of these widths."""
        chain, count = kernel.chain, len(elements)
        self._kernel, self._count = kernel, count
        self._pointers = count * chain.buffers
        self._words = self._pointers + count * (chain.numbers + 1)
        self._block = (ctypes.c_int64 * max(1, self._words))()
        at = ctypes.addressof(self._block)
        self._buffers = (ctypes.c_int64 * self._pointers).from_address(at)
        self._row = (ctypes.c_int64 * count).from_address(at + self._pointers * 8)
        after = at + (self._pointers + count) * 8
        self._numbers = (ctypes.c_double * (count * chain.numbers)).from_address(after)
        self._row[:] = list(range(count))
        tiles = tiles_of(chain, elements, widths) if chain.in_rows else []
        pieces = [each.across * each.down for each in tiles]
        pieces = pieces or [-(-each // BLOCK) for each in elements]
        self._blocks = sum(pieces)
        self._arguments = Arguments()
        self._given: torch.Tensor | None = None
        self._fix(elements, pieces, tiles)

    def _fix(
        self, elements: Sequence[int], pieces: Sequence[int], tiles: Sequence[Tiles]
    ) -> None:
        """Bring to the device what is the same in all calls."""
        chain, device = self._kernel.chain, self._kernel.device.device
        shapes = [word for each in tiles for word in each.words]
        fixed = [*elements, *accumulate(pieces), *shapes, 0]
        self._fixed = torch.tensor(fixed, dtype=torch.int64).to(device)
        strands = [at for at, many in enumerate(pieces) for _ in range(many)]
        places = [at for each in tiles for place in each.places for at in place]
        ends = [
            at
            for strand, each in enumerate(tiles)
            for block in range(each.ends(chain))
            for at in (strand, block)
        ]
        small = [*strands, *places, *ends]
        self._small = torch.tensor(small, dtype=torch.int32).to(device)
        self._ends = len(ends) // 2 or self._count
        self._partial = self._blocks * len(chain.reduces)
        self._parts = sum(each.parts(chain) for each in tiles)
        first, arguments = self._fixed.data_ptr(), self._arguments
        arguments.elements = first
        arguments.blocks_to = first + self._count * 8
        arguments.tiles = first + self._count * 16
        arguments.bad = first + (len(fixed) - 1) * 8
        first = self._small.data_ptr()
        arguments.strand = first
        arguments.place = first + len(strands) * 4
        arguments.end = first + (len(strands) + len(places)) * 4

    @property
    def finite(self) -> torch.Tensor:
        """See `BoundKernel.finite`."""
        if self._given is not None:
            return self._given[-1] == 0
        return self._fixed[-1] != int(self._arguments.turn)

    @property
    def words(self) -> int:
        """See `CapturableKernel.words`."""
        return self._words + 1

    def lie(self, given: torch.Tensor | None) -> None:
        """See `CapturableKernel.lie`."""
        self._given = given
        noted = self._fixed if given is None else given
        self._arguments.bad = noted[-1:].data_ptr()

    def write_to(self, address: int) -> None:
        """See `CapturableKernel.write_to`."""
        ctypes.memmove(address, self._block, self._words * 8)

    def call(self) -> None:
        """See `BoundKernel.call`."""
        kernel, arguments = self._kernel, self._arguments
        device, reduces = kernel.device, len(kernel.chain.reduces)
        given = self._given
        if given is None:
            given = device.upload(self._block, self._words)
        first = given.data_ptr()
        arguments.buffers = first
        arguments.row = first + self._pointers * 8
        arguments.numbers = first + (self._pointers + self._count) * 8
        arguments.turn += 1
        if reduces:
            room = self._partial + self._parts
            partial = torch.empty(room, dtype=torch.float64, device=device.device)
            arguments.partial = partial.data_ptr()
            arguments.parts = arguments.partial + self._partial * 8
        device.launch(kernel.run, self._blocks, THREADS, arguments)
        if kernel.finish is not None:
            device.launch(kernel.finish, self._ends, THREADS, arguments)
