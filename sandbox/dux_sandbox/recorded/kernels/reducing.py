"""The C of reductions: of a block in its loop, then of all blocks of a strand."""

from collections.abc import Iterator

from dux_sandbox.recorded.kernels.chains import Chain, Reduce
from dux_sandbox.recorded.kernels.templates import STORED, real_of


def begun(at: int, reduce: Reduce, real: str) -> str:
    """What a block has of a reduction before its loop.

    Args:
        real: the type in C of what is brought together.
    """
    if _is_sum(reduce):
        return f"double_eight r{at}[4] = {{{{0}}}};"
    return f"{real} r{at}[32]; {reduce.kind}_begun_{real}(r{at});"


def taken_in(at: int, reduce: Reduce, real: str, values: str) -> str:
    """`count` more values, which lie in a row, as part of a reduction.

    Args:
        real: as of `begun`.
        values: where the first one is.
    """
    of = "sum" if reduce.kind == "mean" else reduce.kind
    return f"{of}_{real}(r{at}, {values}, count);"


def made_of(at: int, reduce: Reduce, real: str) -> str:
    """What a block has of it after its loop, as one number; `real` as of `begun`."""
    return f"total(r{at})" if _is_sum(reduce) else f"{reduce.kind}_of_{real}(r{at})"


def _is_sum(reduce: Reduce) -> bool:
    return reduce.kind in ("sum", "mean", "norm2")


def _start(kind: str) -> str:
    return {"amax": "-__builtin_inf()", "amin": "__builtin_inf()"}.get(kind, "0")


def _together(kind: str, one: str, other: str) -> str:
    if kind == "amax":
        return f"more({one}, {other})"
    return f"less({one}, {other})" if kind == "amin" else f"{one} + {other}"


def columns_begun(chain: Chain) -> Iterator[str]:
    """What a block has of the reductions of columns before its rows."""
    for place, at in enumerate(chain.columns):
        start = _start(chain.reduces[at].kind)
        yield f"double *restrict r{at} = columns + {place} * width;"
        yield f"for (int64_t j = 0; j < width; j++) r{at}[j] = {start};"


def column_taken_in(at: int, reduce: Reduce, values: str) -> str:
    """`count` more values of a row, from `low` on, as parts of their columns."""
    square = " * x" if reduce.kind == "norm2" else ""
    together = _together(reduce.kind, f"r{at}[low - begin + j]", "y")
    return (
        f"for (int64_t j = 0; j < count; j++) {{ const double x = ({values})[j], "
        f"y = x{square}; r{at}[low - begin + j] = {together}; }}"
    )


def put(chain: Chain, at: int, made: str, count: str, index: str) -> str:
    """A reduction, of `count` elements, in its place of the buffer of results."""
    reduce = chain.reduces[at]
    if reduce.kind == "mean":
        made = f"{made} / (double){count}"
    if reduce.kind == "norm2":
        made = f"__builtin_sqrt(({real_of(reduce.dtype)})({made}))"
    kept = f"SAVE_{reduce.dtype}(ROUND_{reduce.dtype}({made}))"
    buffer = chain.buffers - len(chain.reduces) + at
    return f"(({STORED[reduce.dtype]} *)p[{buffer}])[{index}] = {kept};"


def finish(chain: Chain) -> Iterator[str]:
    """The function that brings the blocks of each strand together."""
    yield "void finish(struct call *c) {"
    if any(each.along != "row" for each in chain.reduces):
        yield "int64_t begin = 0;"
        yield "for (int64_t k = 0; k < c->strands; begin = c->blocks_to[k++]) {"
        yield "void *const *p = c->buffers + k * BUFFERS;"
        for at, reduce in enumerate(chain.reduces):
            if reduce.along is None:
                part = f"c->partial[b * REDUCES + {at}]"
                yield from _finished(chain, at, part, "c->elements[k]", "0")
        if chain.columns:
            yield "const int64_t width = c->width[k], rows = c->elements[k] / width;"
            yield "for (int64_t j = 0; j < width; j++) {"
            for place, at in enumerate(chain.columns):
                part = f"c->columns[c->column[b] + {place} * width + j]"
                yield from _finished(chain, at, part, "rows", "j")
            yield "(void)rows; }"
        yield "}"
    yield "}"


def _finished(
    chain: Chain, at: int, part: str, count: str, index: str
) -> Iterator[str]:
    kind = chain.reduces[at].kind
    yield f"double r{at} = {_start(kind)};"
    yield "for (int64_t b = begin; b < c->blocks_to[k]; b++)"
    yield f"r{at} = {_together(kind, f'r{at}', part)};"
    yield put(chain, at, f"r{at}", count, index)
