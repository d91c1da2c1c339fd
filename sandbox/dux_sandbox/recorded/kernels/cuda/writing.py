"""What every kernel of a CUDA device does to four elements of its buffers."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

from dux_sandbox.recorded.kernels.chains import Along, Chain, Link, Slot
from dux_sandbox.recorded.kernels.cuda.gathering import taken_in
from dux_sandbox.recorded.kernels.cuda.templates import expression_of
from dux_sandbox.recorded.kernels.templates import STORED, real_of


class Writer(ABC):
    """Writes "run", the kernel that each block of a strand is a block of."""

    def __init__(self, chain: Chain) -> None:
        """Of a chain."""
        self.chain = chain
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
        return self.chain.links[value - self._first]

    def run(self) -> Iterator[str]:
        """The kernel, line by line."""
        yield (
            'extern "C" __global__ void __launch_bounds__(THREADS) '
            "run(const struct call c) {"
        )
        yield "const int64_t strand = c.strand[blockIdx.x];"
        yield "void *const *p = c.buffers + strand * BUFFERS;"
        yield "const double *s = c.numbers + c.row[strand] * NUMBERS; (void)s;"
        yield "int32_t bad = 0;"
        yield from self.walk()
        yield "if (bad) *c.bad = c.turn;"
        yield "}"

    @abstractmethod
    def walk(self) -> Iterator[str]:
        """How a block goes through what is its part: `names`, and `four` in a loop."""

    def names(self, *lies_well: str) -> Iterator[str]:
        """Pointers, numbers, and what is the same for all elements.

        Args:
            lies_well: conditions on which four elements can be had at once.
        """
        conditions = list(lies_well)
        for at, (dtype, in_fours) in enumerate(self._buffers()):
            kind = STORED[dtype]
            yield f"{kind} *const b{at} = ({kind} *)p[{at}];"
            if in_fours:
                conditions.append(f"(int64_t)b{at} % sizeof(four<{kind}>) == 0")
        yield f"const bool lies_well = {' && '.join(conditions) or 'true'};"
        for slot in range(self.chain.numbers):
            yield f"const double s{slot} = s[{slot}];"
        for value in self._once:
            yield self._assign(value)

    def _buffers(self) -> Iterator[tuple[str, bool]]:
        """The dtype of what is read or stored, and whether that is four at once."""
        for leaf in self.chain.leaves:
            yield leaf.dtype, not leaf.single and leaf.along != "row"
        for store in self.chain.stores:
            if store.leaf is None:
                yield self.chain.dtype(store.value), True

    def leaves(self, along: Along | None) -> Iterator[tuple[int, str]]:
        """Those that go so with what is computed, each with its type in memory."""
        for at, leaf in enumerate(self.chain.leaves):
            if not leaf.single and leaf.along == along:
                yield at, STORED[leaf.dtype]

    def four(self) -> Iterator[str]:
        """Elements from `i` on: four, or those that are `left`."""
        chain = self.chain
        for at, kind in self.leaves(None):
            yield f"const four<{kind}> x{at} = taken(b{at} + i, left, whole);"
        for target, store in chain.targets():
            yield f"four<{STORED[chain.dtype(store.value)]}> y{target};"
        yield "#pragma unroll"
        yield "for (int k = 0; k < 4; k++) {"
        leaves = [at for at in range(self._first) if at not in self._once]
        for value in (*leaves, *self._each):
            yield self._assign(value)
        for target, store in chain.targets():
            value, dtype = store.value, chain.dtype(store.value)
            if store.watched and dtype != "bool":
                suffix = "" if dtype == "float64" else "f"
                size = f"__builtin_fabs{suffix}(v{value})"
                yield f"bad |= k < left && !({size} < __builtin_inf{suffix}());"
            yield f"y{target}.at[k] = SAVE_{dtype}(v{value});"
        if chain.reduces:
            yield "if (k < left) {"
            for at, reduce in enumerate(chain.reduces):
                sum_of = f"r{at}[k]" if reduce.along == "column" else f"r{at}"
                yield f"{{ const double x = {sum_of}, y = v{reduce.value};"
                yield f"{sum_of} = {taken_in(reduce)}; }}"
            yield "}"
        yield "}"
        for target, _ in chain.targets():
            yield f"put(b{target} + i, y{target}, left, whole);"

    def _assign(self, value: int) -> str:
        if value < self._first:
            leaf = self.chain.leaves[value]
            dtype, four = leaf.dtype, f"x{value}.at[k]"
            one = f"b{value}[0]" if leaf.single else f"x{value}"
            made = four if not leaf.single and leaf.along != "row" else one
            made = f"LOAD_{dtype}({made})"
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
        if real_of(self.chain.dtype(argument)) != real:
            name = f"(({real}){name})"
        return _Operand(name, real, name)


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
