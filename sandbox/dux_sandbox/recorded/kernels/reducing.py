"""The C of reductions: of a block in its loop, then of all blocks of a strand."""

from collections.abc import Iterator

from dux_sandbox.recorded.kernels.chains import Chain, Reduce
from dux_sandbox.recorded.kernels.templates import STORED, real_of


def begun(at: int, reduce: Reduce) -> str:
    """What a block has of a reduction before its loop."""
    if _is_sum(reduce):
        return f"double_eight r{at}[4] = {{{{0}}}};"
    return f"double r{at} = {_start(reduce.kind)};"


def taken_in(at: int, reduce: Reduce, real: str, values: str) -> str:
    """`count` more values, which lie in a row, as part of a reduction.

    Args:
        real: their type in C.
        values: where the first one is.
    """
    of = f"{'sum' if reduce.kind == 'mean' else reduce.kind}_{real}"
    if _is_sum(reduce):
        return f"{of}(r{at}, {values}, count);"
    return f"r{at} = {_together(reduce.kind, f'r{at}', f'{of}({values}, count)')};"


def made_of(at: int, reduce: Reduce) -> str:
    """What a block has of it after its loop, as one number."""
    return f"total(r{at})" if _is_sum(reduce) else f"r{at}"


def _is_sum(reduce: Reduce) -> bool:
    return reduce.kind in ("sum", "mean", "norm2")


def _start(kind: str) -> str:
    return {"amax": "-__builtin_inf()", "amin": "__builtin_inf()"}.get(kind, "0")


def _together(kind: str, one: str, other: str) -> str:
    if kind == "amax":
        return f"more({one}, {other})"
    return f"less({one}, {other})" if kind == "amin" else f"{one} + {other}"


def finish(chain: Chain) -> Iterator[str]:
    """The function that brings the blocks of each strand together."""
    yield "void finish(struct call *c) { int64_t b = 0; (void)b;"
    if chain.reduces:
        yield "for (int64_t k = 0; k < c->strands; k++) {"
        yield "void *const *p = c->buffers + k * BUFFERS; int64_t begin = b;"
        yield "const double elements = (double)c->elements[k]; (void)elements;"
        for at, reduce in enumerate(chain.reduces):
            yield f"double r{at} = {_start(reduce.kind)};"
            yield "for (b = begin; b < c->blocks_to[k]; b++)"
            part = f"c->partial[b * REDUCES + {at}]"
            yield f"r{at} = {_together(reduce.kind, f'r{at}', part)};"
            made = f"r{at}"
            if reduce.kind == "mean":
                made = f"{made} / elements"
            if reduce.kind == "norm2":
                real = real_of(reduce.dtype)
                made = f"__builtin_sqrt(({real})({made}))"
            kept = f"SAVE_{reduce.dtype}(ROUND_{reduce.dtype}({made}))"
            at_buffer = chain.buffers - len(chain.reduces) + at
            yield f"*({STORED[reduce.dtype]} *)p[{at_buffer}] = {kept};"
        yield "}"
    yield "}"
