"""A chain that asks for rows as CUDA C++: each block takes a tile of them."""

from collections.abc import Iterator

from dux_sandbox.recorded.kernels.cuda.gathering import kind_of, part_of, start_of
from dux_sandbox.recorded.kernels.cuda.writing import Writer

_TILE = """
const struct tiles t = c.tiles[strand];
const int64_t across = c.place[blockIdx.x * 2], down = c.place[blockIdx.x * 2 + 1];
const int lanes = t.lanes, lane = threadIdx.x % lanes, below = threadIdx.x / lanes;
const int64_t first = down * t.tall;
const int64_t to = t.rows - first < t.tall ? t.rows : first + t.tall;
const int64_t column = (across * lanes + lane) * 4;
const int64_t inside = column < t.width ? t.width - column : 0;
double *const parts = c.parts + t.room; (void)parts; (void)lane;
"""
_LOOP = """
#pragma unroll 1
for (int64_t top = first; top < to; top += THREADS / lanes) {
const int64_t row = top + below, left = row < to ? inside : 0;
const int64_t i = left ? row * t.width + column : 0;
const bool whole = lies_well && left >= 4;
"""
"""All threads of a block take each turn, those that have no row with nothing left."""


class ByRows(Writer):
    """Each block takes a tile; see `tiles`."""

    def walk(self) -> Iterator[str]:
        """See `Writer.walk`."""
        yield _TILE
        yield from self.names("t.width % 4 == 0")
        for at, kind in self.leaves("column"):
            where = f"b{at} + (inside ? column : 0)"
            whole = "lies_well && inside >= 4"
            yield f"const four<{kind}> x{at} = taken({where}, inside, {whole});"
        reduces = list(enumerate(self.chain.reduces))
        for at, reduce in reduces:
            if reduce.along is None:
                yield f"double r{at} = {start_of(reduce)};"
            if reduce.along == "column":
                start = ", ".join([start_of(reduce)] * 4)
                yield f"double r{at}[4] = {{{start}}};"
        yield _LOOP
        for at, kind in self.leaves("row"):
            yield f"const {kind} x{at} = b{at}[left ? row : 0];"
        for at, reduce in reduces:
            if reduce.along == "row":
                yield f"double r{at} = {start_of(reduce)};"
        yield from self.four()
        for at, reduce in reduces:
            if reduce.along == "row":
                yield f"r{at} = gather_{kind_of(reduce)}_along(r{at}, lanes);"
                part = f"parts[{part_of(self.chain, at)} + row]"
                yield f"if (lane == 0 && left) {part} = r{at};"
        yield "}"
        for at, reduce in reduces:
            if reduce.along is None:
                yield f"r{at} = gather_{kind_of(reduce)}(r{at});"
                part = f"c.partial[blockIdx.x * REDUCES + {at}]"
                yield f"if (threadIdx.x == 0) {part} = r{at};"
            if reduce.along == "column":
                yield from self._of_columns(at)

    def _of_columns(self, at: int) -> Iterator[str]:
        kind = kind_of(self.chain.reduces[at])
        part = f"parts[{part_of(self.chain, at)} + column + k]"
        yield "#pragma unroll"
        yield "for (int k = 0; k < 4; k++) {"
        yield f"const double x = gather_{kind}_across(r{at}[k], lanes);"
        yield f"if (below == 0 && k < inside) {part} = x;"
        yield "}"
