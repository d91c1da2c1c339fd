"""A chain as CUDA C++: made of templates, indices and names of dtypes, nothing else."""

from collections.abc import Iterator
from dataclasses import dataclass

from dux_sandbox.recorded.kernels.chains import Chain, Link, Reduce, Slot
from dux_sandbox.recorded.kernels.cuda.prelude import BLOCK, COMMON, THREADS, TYPES
from dux_sandbox.recorded.kernels.cuda.templates import expression_of
from dux_sandbox.recorded.kernels.templates import BOUNDS, STORED, real_of


def source_of(chain: Chain, types: str = TYPES) -> str:
    """The kernels of a chain: "run", and "finish" where something is reduced.

    Args:
        types: other words for what only a device has.
    """
    writer = _Writer(chain)
    counts = (
        f"enum {{ BLOCK = {BLOCK}, THREADS = {THREADS}, BUFFERS = {chain.buffers}, "
        f"NUMBERS = {chain.numbers}, REDUCES = {len(chain.reduces)} }};"
    )
    lines = [counts, types, COMMON, BOUNDS, *writer.run(), *writer.finish()]
    return "\n".join(lines) + "\n"


class _Writer:
    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._first = len(chain.leaves)
        singles = [at for at, leaf in enumerate(chain.leaves) if leaf.single]
        self._once = dict.fromkeys(singles)
        self._each: list[int] = []
        for value in range(self._first, self._first + len(chain.links)):
            given = self._link(value).arguments
            if all(isinstance(x, Slot) or x in self._once for x in given):
                self._once[value] = None
            else:
                self._each.append(value)

    def _link(self, value: int) -> Link:
        return self._chain.links[value - self._first]

    def run(self) -> Iterator[str]:
        """The kernel that each block of a strand is a block of."""
        yield (
            'extern "C" __global__ void __launch_bounds__(THREADS) '
            "run(const struct call c) {"
        )
        yield "const int64_t strand = c.strand[blockIdx.x];"
        yield "const int64_t before = strand ? c.blocks_to[strand - 1] : 0;"
        yield "const int64_t from = (blockIdx.x - before) * BLOCK;"
        yield "const int64_t elements = c.elements[strand];"
        yield "const int64_t to = elements - from < BLOCK ? elements : from + BLOCK;"
        yield "void *const *p = c.buffers + strand * BUFFERS;"
        yield "const double *s = c.numbers + c.row[strand] * NUMBERS; (void)s;"
        yield "int32_t bad = 0;"
        yield from self._names()
        for at, reduce in enumerate(self._chain.reduces):
            yield f"double r{at} = {_start(reduce)};"
        yield "#pragma unroll 1"
        yield "for (int64_t i = from + threadIdx.x * 4; i < to; i += THREADS * 4) {"
        yield "const int64_t left = to - i; const bool whole = lies_well && left >= 4;"
        yield from self._loop()
        yield "}"
        yield "if (bad) *c.bad = c.turn;"
        for at, reduce in enumerate(self._chain.reduces):
            yield f"r{at} = gather_{_kind(reduce)}(r{at});"
            part = f"c.partial[blockIdx.x * REDUCES + {at}]"
            yield f"if (threadIdx.x == 0) {part} = r{at};"
        yield "}"

    def _names(self) -> Iterator[str]:
        """Pointers, numbers, and what is the same for all elements."""
        at = 0
        lies_well = ["true"]
        for at, (dtype, single) in enumerate(self._buffers()):
            yield f"{STORED[dtype]} *const b{at} = ({STORED[dtype]} *)p[{at}];"
            if not single:
                lies_well.append(f"(int64_t)b{at} % sizeof(four<{STORED[dtype]}>) == 0")
        yield f"const bool lies_well = {' && '.join(lies_well)};"
        for slot in range(self._chain.numbers):
            yield f"const double s{slot} = s[{slot}];"
        for value in self._once:
            yield self._assign(value, "b{}[0]")

    def _buffers(self) -> Iterator[tuple[str, bool]]:
        """The dtype of what is read or stored, and whether that is one element."""
        for leaf in self._chain.leaves:
            yield leaf.dtype, leaf.single
        for store in self._chain.stores:
            if store.leaf is None:
                yield self._chain.dtype(store.value), False

    def _loop(self) -> Iterator[str]:
        """Four elements of all buffers."""
        chain = self._chain
        leaves = [at for at in range(self._first) if at not in self._once]
        for at in leaves:
            kind = STORED[chain.leaves[at].dtype]
            yield f"const four<{kind}> x{at} = taken(b{at} + i, left, whole);"
        for target, store in chain.targets():
            yield f"four<{STORED[chain.dtype(store.value)]}> y{target};"
        yield "#pragma unroll"
        yield "for (int k = 0; k < 4; k++) {"
        for value in (*leaves, *self._each):
            yield self._assign(value, "x{}.at[k]")
        for target, store in chain.targets():
            value, dtype = store.value, chain.dtype(store.value)
            if store.watched and dtype != "bool":
                suffix = "" if dtype == "float64" else "f"
                size = f"__builtin_fabs{suffix}(v{value})"
                yield f"bad |= !({size} < __builtin_inf{suffix}());"
            yield f"y{target}.at[k] = SAVE_{dtype}(v{value});"
        if chain.reduces:
            yield "if (k < left) {"
            for at, reduce in enumerate(chain.reduces):
                yield f"{{ const double x = r{at}, y = v{reduce.value};"
                yield f"r{at} = {_taken_in(reduce)}; }}"
            yield "}"
        yield "}"
        for target, _ in chain.targets():
            yield f"put(b{target} + i, y{target}, left, whole);"

    def _assign(self, value: int, leaf: str) -> str:
        if value < self._first:
            dtype = self._chain.leaves[value].dtype
            made = f"LOAD_{dtype}({leaf.format(value)})"
            return f"const {real_of(dtype)} v{value} = {made};"
        link = self._link(value)
        operands = [self._operand(each, link) for each in link.arguments]
        made = expression_of(link).format(
            *operands,
            f="" if link.works_in == "float64" else "f",
            r=f"INNER_{link.works_in}",
        )
        return f"const {real_of(link.dtype)} v{value} = ROUND_{link.dtype}({made});"

    def _operand(self, argument: int | Slot, link: Link) -> "_Operand":
        real = real_of(link.works_in)
        if isinstance(argument, Slot):
            name = f"s{argument.index}"
            return _Operand(f"(({real}){name})", real, name)
        name = f"v{argument}"
        if real_of(self._chain.dtype(argument)) != real:
            name = f"(({real}){name})"
        return _Operand(name, real, name)

    def finish(self) -> Iterator[str]:
        """The kernel that brings the blocks of each strand together, one block each."""
        if not self._chain.reduces:
            return
        yield (
            'extern "C" __global__ void __launch_bounds__(THREADS) '
            "finish(const struct call c) {"
        )
        yield "const int64_t strand = blockIdx.x;"
        yield "const int64_t before = strand ? c.blocks_to[strand - 1] : 0;"
        yield "const double elements = (double)c.elements[strand]; (void)elements;"
        yield "void *const *p = c.buffers + strand * BUFFERS;"
        for at, reduce in enumerate(self._chain.reduces):
            yield f"double r{at} = {_start(reduce)};"
            yield "for (int64_t b = before + threadIdx.x; b < c.blocks_to[strand];"
            yield "b += THREADS) {"
            yield f"const double x = r{at}, y = c.partial[b * REDUCES + {at}];"
            yield f"r{at} = {_together(reduce)}; }}"
            yield f"r{at} = gather_{_kind(reduce)}(r{at});"
            made = f"r{at} / elements" if reduce.kind == "mean" else f"r{at}"
            if reduce.kind == "norm2":
                suffix = "" if real_of(reduce.dtype) == "double" else "f"
                made = f"__builtin_sqrt{suffix}(({real_of(reduce.dtype)}){made})"
            kept = f"SAVE_{reduce.dtype}(ROUND_{reduce.dtype}({made}))"
            at_buffer = self._chain.buffers - len(self._chain.reduces) + at
            pointer = f"({STORED[reduce.dtype]} *)p[{at_buffer}]"
            yield f"if (threadIdx.x == 0) *{pointer} = {kept};"
        yield "}"


@dataclass(frozen=True)
class _Operand:
    """An argument in the type of the arithmetic.

    Attributes:
        real: that type.
        number: a number in Python's.
    """

    exact: str
    real: str
    number: str

    def __str__(self) -> str:
        return self.exact

    @property
    def rounded(self) -> str:
        """A number as an element would hold it: a device computes with it as it is."""
        return self.exact


def _kind(reduce: Reduce) -> str:
    return "sum" if reduce.kind in ("mean", "norm2") else reduce.kind


def _start(reduce: Reduce) -> str:
    starts = {"amax": "-__builtin_inf()", "amin": "__builtin_inf()"}
    return starts.get(reduce.kind, "0")


def _together(reduce: Reduce) -> str:
    return {"amax": "more(x, y)", "amin": "less(x, y)"}.get(reduce.kind, "x + y")


def _taken_in(reduce: Reduce) -> str:
    return "x + y * y" if reduce.kind == "norm2" else _together(reduce)
