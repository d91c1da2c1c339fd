"""A compiled kernel in this process, and how it is called over its strands."""

import ctypes
import tempfile
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import accumulate
from pathlib import Path

import torch

from dux_sandbox.recorded.kernels.chains import Chain
from dux_sandbox.recorded.kernels.functions import torch_folder
from dux_sandbox.recorded.kernels.kernel import Given

BLOCK = 4096
"""Elements of a block, as in `prelude`: what one thread takes at a time."""
_MOST_PARTS, _ROWS_OF_A_PART = 16, 32
"""Blocks of a strand that each keep a number for each column, and rows of one."""
_WORTH_A_THREAD = 32_768
"""Elements below which another thread costs more than it brings, as torch has it."""


class _Arguments(ctypes.Structure):
    """`struct call` of `prelude`."""

    _fields_ = [
        *(
            (name, ctypes.c_void_p)
            for name in ("buffers", "numbers", "row", "elements", "width")
        ),
        *((name, ctypes.c_void_p) for name in ("strand", "first", "blocks_to")),
        *((name, ctypes.c_void_p) for name in ("partial", "columns", "column")),
        *((name, ctypes.c_void_p) for name in ("functions", "thread")),
        *((name, ctypes.c_int64) for name in ("blocks", "strands")),
        *((name, ctypes.c_int32) for name in ("threads", "bad")),
    ]


class Library:
    """The machine code of one chain."""

    def __init__(self, chain: Chain, code: bytes, functions: Sequence[int]) -> None:
        """Load it. The file that it is loaded from is this process's alone.

        Raises:
            OSError: it is no library.
        """
        self.chain = chain
        with tempfile.TemporaryDirectory(prefix="dux-kernel-") as folder:
            path = Path(folder) / "kernel.so"
            path.write_bytes(code)
            self._loaded = ctypes.CDLL(str(path))
        self.run = _address(self._loaded.run)
        self._finish = self._loaded.finish
        self._finish.argtypes, self._finish.restype = [ctypes.c_void_p], None
        self._run = self._loaded.run
        self._run.argtypes, self._run.restype = [ctypes.c_void_p], None
        self.functions = (ctypes.c_void_p * max(1, len(functions)))(*functions)

    def bind(self, elements: Sequence[int], widths: Sequence[int]) -> "Bound":
        """See `Kernel.bind`."""
        return Bound(self, elements, widths)

    def call(self, arguments: int, threads: int) -> None:
        """Run over all strands; Python's lock is free meanwhile.

        Args:
            arguments: the address of `_Arguments`, which have the same `threads`.
        """
        if threads > 1:
            parallel, _ = _openmp() or (None, 0)
            assert parallel is not None
            parallel(self.run, arguments, threads, 0)
        else:
            self._run(arguments)
        if self.chain.reduces:
            self._finish(arguments)


class Bound(Given):
    """A library with the strands that it is called over."""

    def __init__(
        self, library: Library, elements: Sequence[int], widths: Sequence[int]
    ) -> None:
        """Make room for strands of so many elements each, in rows of these widths."""
        chain, count = library.chain, len(elements)
        self._library = library
        self._buffers = (ctypes.c_void_p * (count * chain.buffers))()
        self._numbers = (ctypes.c_double * max(1, count * chain.numbers))()
        self._row = (ctypes.c_int32 * count)(*range(count))
        self._elements = (ctypes.c_int64 * count)(*elements)
        self._width = (ctypes.c_int64 * count)(*widths)
        lengths = [
            _length(chain, each, width)
            for each, width in zip(elements, widths, strict=True)
        ]
        pieces = [
            -(-each // length) for each, length in zip(elements, lengths, strict=True)
        ]
        blocks = sum(pieces)
        self._strand = (ctypes.c_int32 * max(1, blocks))()
        self._first = (ctypes.c_int64 * max(1, blocks))()
        self._blocks_to = (ctypes.c_int64 * count)(*accumulate(pieces))
        self._partial = (ctypes.c_double * max(1, blocks * len(chain.reduces)))()
        self._column = (ctypes.c_int64 * max(1, blocks))()
        at = room = 0
        for strand, many in enumerate(pieces):
            for block in range(many):
                self._strand[at], self._first[at] = strand, block * lengths[strand]
                self._column[at] = room
                room += len(chain.columns) * widths[strand]
                at += 1
        self._columns = (ctypes.c_double * max(1, room))()
        worth = max(1, min(blocks, sum(elements) // _WORTH_A_THREAD))
        openmp = _openmp()
        self._most = worth if openmp is not None else 1
        self._arguments = _Arguments(
            ctypes.addressof(self._buffers),
            ctypes.addressof(self._numbers),
            ctypes.addressof(self._row),
            ctypes.addressof(self._elements),
            ctypes.addressof(self._width),
            ctypes.addressof(self._strand),
            ctypes.addressof(self._first),
            ctypes.addressof(self._blocks_to),
            ctypes.addressof(self._partial),
            ctypes.addressof(self._columns),
            ctypes.addressof(self._column),
            ctypes.addressof(library.functions),
            openmp[1] if openmp is not None else None,
            blocks,
            count,
        )
        self._at = ctypes.addressof(self._arguments)

    @property
    def finite(self) -> bool:
        """See `BoundKernel.finite`."""
        return not self._arguments.bad

    def call(self) -> None:
        """Do it, with as many threads as torch would use now."""
        arguments = self._arguments
        threads = min(torch.get_num_threads(), self._most)
        arguments.threads, arguments.bad = threads, 0
        self._library.call(self._at, threads)


def _length(chain: Chain, elements: int, width: int) -> int:
    """Elements of a block of a strand: where a chain asks for rows, of whole ones."""
    if not chain.in_rows:
        return BLOCK
    rows = max(1, BLOCK // width)
    if chain.columns:
        rows = max(rows, _ROWS_OF_A_PART, -(-elements // (width * _MOST_PARTS)))
    return rows * width


def _address(function: Callable[..., object]) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0  # type: ignore[arg-type]


@lru_cache(maxsize=1)
def _openmp() -> tuple[Callable[..., object], int] | None:
    """How torch's own pool of threads runs a function, and asks which thread it is.

    None where torch does not use GNU's OpenMP: kernels have one thread there.
    """
    names = sorted(torch_folder().glob("libgomp*.so*"))
    for name in (None, *map(str, names)):
        try:
            library = ctypes.CDLL(name)
            parallel, thread = library.GOMP_parallel, library.omp_get_thread_num
        except (OSError, AttributeError):
            continue
        parallel.argtypes = [ctypes.c_void_p] * 2 + [ctypes.c_uint] * 2
        parallel.restype = None
        return parallel, _address(thread)
    return None
