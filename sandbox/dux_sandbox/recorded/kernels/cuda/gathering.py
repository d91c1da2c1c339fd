"""The CUDA C++ of reductions: of a thread, of a block, and of all blocks."""

from collections.abc import Iterator

from dux_sandbox.recorded.kernels.chains import Chain, Reduce
from dux_sandbox.recorded.kernels.templates import STORED, real_of

_HEAD = (
    'extern "C" __global__ void __launch_bounds__(THREADS) '
    "finish(const struct call c) {"
)


def kind_of(reduce: Reduce) -> str:
    """How parts of it are brought together: by the name of a `GATHER` of `prelude`."""
    return "sum" if reduce.kind in ("mean", "norm2") else reduce.kind


def start_of(reduce: Reduce) -> str:
    """What it is of no elements."""
    starts = {"amax": "-__builtin_inf()", "amin": "__builtin_inf()"}
    return starts.get(reduce.kind, "0")


def taken_in(reduce: Reduce) -> str:
    """Of `x` and an element `y` more."""
    return "x + y * y" if reduce.kind == "norm2" else _together(reduce)


def part_of(chain: Chain, at: int) -> str:
    """Where a tile of rows keeps what it has of a reduction, before an index.

    Numbers of rows come first; of a row, or column, those of one tile lie together.
    """
    reduces = chain.reduces
    rows = [k for k, each in enumerate(reduces) if each.along == "row"]
    if reduces[at].along == "row":
        return f"({rows.index(at)} * t.across + across) * t.rows"
    column = chain.columns.index(at)
    above = f"{len(rows)} * t.across * t.rows"
    return f"{above} + ({column} * t.down + down) * t.width"


def finish(chain: Chain) -> Iterator[str]:
    """The kernel that brings what blocks have together, if anything is reduced."""
    if not chain.reduces:
        return
    yield _HEAD
    if any(each.along for each in chain.reduces):
        yield "const int64_t strand = c.end[blockIdx.x * 2];"
        yield "const int64_t block = c.end[blockIdx.x * 2 + 1];"
        yield "const int64_t at = block * THREADS + threadIdx.x;"
        yield "const struct tiles t = c.tiles[strand];"
        yield "const double *parts = c.parts + t.room;"
    else:
        yield "const int64_t strand = blockIdx.x, block = 0;"
    yield "void *const *p = c.buffers + strand * BUFFERS;"
    for at, reduce in enumerate(chain.reduces):
        yield "{"
        yield f"double r = {start_of(reduce)};"
        if reduce.along is None:
            yield from _of_all(chain, at)
        else:
            yield from _of_each(chain, at)
        yield "}"
    yield "}"


def _of_all(chain: Chain, at: int) -> Iterator[str]:
    """One block for one result."""
    reduce = chain.reduces[at]
    yield "if (block == 0) {"
    yield "const int64_t before = strand ? c.blocks_to[strand - 1] : 0;"
    yield "for (int64_t b = before + threadIdx.x; b < c.blocks_to[strand];"
    yield "b += THREADS) {"
    yield f"const double x = r, y = c.partial[b * REDUCES + {at}];"
    yield f"r = {_together(reduce)}; }}"
    yield f"r = gather_{kind_of(reduce)}(r);"
    yield f"if (threadIdx.x == 0) {_put(chain, at, '0', 'c.elements[strand]')} }}"


def _of_each(chain: Chain, at: int) -> Iterator[str]:
    """A thread for each result."""
    reduce = chain.reduces[at]
    results, many, apart = {
        "row": ("t.rows", "t.width", "across"),
        "column": ("t.width", "t.rows", "down"),
    }[reduce.along or "row"]
    yield f"if (at < {results}) {{"
    yield f"for (int64_t {apart} = 0; {apart} < t.{apart}; {apart}++) {{"
    yield f"const double x = r, y = parts[{part_of(chain, at)} + at];"
    yield f"r = {_together(reduce)}; }}"
    yield f"{_put(chain, at, 'at', many)} }}"


def _put(chain: Chain, at: int, index: str, many: str) -> str:
    """A result of so many elements in its place of its buffer."""
    reduce, made = chain.reduces[at], "r"
    if reduce.kind == "mean":
        made = f"r / (double){many}"
    if reduce.kind == "norm2":
        suffix = "" if real_of(reduce.dtype) == "double" else "f"
        made = f"__builtin_sqrt{suffix}(({real_of(reduce.dtype)})r)"
    kept = f"SAVE_{reduce.dtype}(ROUND_{reduce.dtype}({made}))"
    buffer = chain.buffers - len(chain.reduces) + at
    return f"(({STORED[reduce.dtype]} *)p[{buffer}])[{index}] = {kept};"


def _together(reduce: Reduce) -> str:
    return {"amax": "more(x, y)", "amin": "less(x, y)"}.get(reduce.kind, "x + y")
