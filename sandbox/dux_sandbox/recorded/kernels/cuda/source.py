"""A chain as CUDA C++: made of templates, indices and names of dtypes, nothing else."""

from collections.abc import Iterator

from dux_sandbox.recorded.kernels.chains import Chain
from dux_sandbox.recorded.kernels.cuda.by_rows import ByRows
from dux_sandbox.recorded.kernels.cuda.gathering import finish, kind_of, start_of
from dux_sandbox.recorded.kernels.cuda.prelude import BLOCK, COMMON, THREADS, TYPES
from dux_sandbox.recorded.kernels.cuda.writing import Writer
from dux_sandbox.recorded.kernels.templates import BOUNDS


def source_of(chain: Chain, types: str = TYPES) -> str:
    """The kernels of a chain: "run", and "finish" where something is reduced.

    Args:
        types: other words for what only a device has.
    """
    writer = ByRows(chain) if chain.in_rows else _ByElements(chain)
    counts = (
        f"enum {{ BLOCK = {BLOCK}, THREADS = {THREADS}, BUFFERS = {chain.buffers}, "
        f"NUMBERS = {chain.numbers}, REDUCES = {len(chain.reduces)} }};"
    )
    lines = [counts, types, COMMON, BOUNDS, *writer.run(), *finish(chain)]
    return "\n".join(lines) + "\n"


class _ByElements(Writer):
    """Each block takes some elements of a strand, one after the other."""

    def walk(self) -> Iterator[str]:
        """See `Writer.walk`."""
        yield "const int64_t before = strand ? c.blocks_to[strand - 1] : 0;"
        yield "const int64_t from = (blockIdx.x - before) * BLOCK;"
        yield "const int64_t elements = c.elements[strand];"
        yield "const int64_t to = elements - from < BLOCK ? elements : from + BLOCK;"
        yield from self.names("true")
        for at, reduce in enumerate(self.chain.reduces):
            yield f"double r{at} = {start_of(reduce)};"
        yield "#pragma unroll 1"
        yield "for (int64_t i = from + threadIdx.x * 4; i < to; i += THREADS * 4) {"
        yield "const int64_t left = to - i; const bool whole = lies_well && left >= 4;"
        yield from self.four()
        yield "}"
        for at, reduce in enumerate(self.chain.reduces):
            yield f"r{at} = gather_{kind_of(reduce)}(r{at});"
            part = f"c.partial[blockIdx.x * REDUCES + {at}]"
            yield f"if (threadIdx.x == 0) {part} = r{at};"
