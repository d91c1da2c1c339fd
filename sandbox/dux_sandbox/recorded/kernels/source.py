"""A chain as C: made of templates, indices and names of dtypes, and nothing else.

No name, text or line of a rule's source reaches the text; numbers that stand in it are
spelled in hexadecimal, so that they are exact.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from dux_sandbox.recorded.kernels.chains import Chain, Link, Reduce, Slot
from dux_sandbox.recorded.kernels.dividing import (
    DIVIDING,
    either_way,
    head,
    quotient_by,
    quotients,
    reciprocals,
)
from dux_sandbox.recorded.kernels.functions import Function, function
from dux_sandbox.recorded.kernels.levels import Levels
from dux_sandbox.recorded.kernels.prelude import ARRAYS, EPILOGUE, PRELUDE
from dux_sandbox.recorded.kernels.reducing import (
    begun,
    column_taken_in,
    columns_begun,
    finish,
    made_of,
    put,
    taken_in,
)
from dux_sandbox.recorded.kernels.sizes import require_few_arrays
from dux_sandbox.recorded.kernels.templates import (
    BOUNDS,
    STORED,
    Call,
    real_of,
    template_of_link,
)

_PIECE, _PIECE_OF_CALLS = 128, 512
"""Elements that are made before they are added up, or given to functions: meanwhile no
memory is asked for, and after a while a processor fetches none ahead."""
_INDEX = {None: "i", "row": "row", "column": "i - begin"}
_APART = ("#pragma GCC ivdep", "#pragma clang loop vectorize(assume_safety)")
"""No element hangs on another one. `restrict` does not reach into a loop that was
inlined, and where five tensors are written gcc gives up telling that none overlap."""


@dataclass(frozen=True)
class Source:
    """A kernel before it is compiled.

    Attributes:
        text: C.
        functions: addresses that `call.functions` holds, in its order.
    """

    text: str
    functions: tuple[int, ...]


@dataclass(frozen=True)
class _Operand:
    exact: str
    rounded: str

    def __str__(self) -> str:
        return self.exact


def source_of(chain: Chain) -> Source:
    """The kernel of a chain.

    Raises:
        CannotCompile: it would need too much of a stack.
    """
    writer = _Writer(chain)
    lines = [
        PRELUDE,
        DIVIDING,
        BOUNDS,
        ARRAYS,
        *writer.vectors(),
        f"enum {{ BUFFERS = {chain.buffers}, NUMBERS = {chain.numbers}, "
        f"REDUCES = {len(chain.reduces)}, PIECE = {writer.piece} }};",
        *writer.block(),
        EPILOGUE,
        *finish(chain),
    ]
    return Source("\n".join(lines) + "\n", tuple(writer.addresses))


class _Writer:
    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._levels = Levels(chain)
        self._quotients = quotients(chain)
        self.addresses: list[int] = []
        calls = [
            name for value in self._levels.calls for name in self._call_arrays(value)
        ]
        require_few_arrays(len(self._levels.arrays) + len(calls))
        self.piece = _PIECE_OF_CALLS if calls else _PIECE
        self._functions: dict[int, tuple[int, Function]] = {}
        for value in self._levels.calls:
            self._functions[value] = self._function_of(value)

    def _function_of(self, value: int) -> tuple[int, Function]:
        link = self._link(value)
        call = template_of_link(link)
        assert isinstance(call, Call)
        found = function(call.function, link.works_in)
        assert found is not None, "`fusing` asks before it takes an operation"
        if found.address not in self.addresses:
            self.addresses.append(found.address)
        return self.addresses.index(found.address), found

    def _link(self, value: int) -> Link:
        return self._chain.links[value - len(self._chain.leaves)]

    def vectors(self) -> Iterator[str]:
        """The types of vectors that functions take."""
        wanted = {
            (real_of(self._link(value).works_in), found.lanes)
            for value, (_, found) in self._functions.items()
            if found.lanes
        }
        for real, lanes in sorted(wanted):
            yield f"VECTORS({real}, {lanes})"

    def block(self) -> Iterator[str]:
        """The function that takes one strand from one element to another."""
        yield head(self._quotients)
        yield from self._names()
        reduces = [(at, x, self._real(x)) for at, x in enumerate(self._chain.reduces)]
        yield from (begun(*each) for each in reduces if each[1].along is None)
        yield from columns_begun(self._chain)
        if self._chain.in_rows:
            yield "for (int64_t row = from / width; row * width < to; row++) {"
            yield "const int64_t begin = row * width, end = begin + width;"
        else:
            yield "{ const int64_t begin = from, end = to;"
        yield from (begun(*each) for each in reduces if each[1].along == "row")
        if self._levels.last == 0 and not reduces:
            yield from _APART
            yield "for (int64_t i = begin; i < end; i++) {"
            yield from self._loop(0, "")
            yield "}"
        else:
            yield from self._pieces()
        for at, reduce, real in reduces:
            if reduce.along == "row":
                made = made_of(at, reduce, real)
                yield put(self._chain, at, made, "width", "row")
        yield "}"
        for at, reduce, real in reduces:
            if reduce.along is None:
                yield f"partial[{at}] = {made_of(at, reduce, real)};"
        yield "TELL(c) (void)s; (void)partial; (void)columns; (void)width; }"
        yield from either_way(self._quotients)

    def _real(self, reduce: Reduce) -> str:
        return real_of(self._chain.dtype(reduce.value))

    def _names(self) -> Iterator[str]:
        written = {each.leaf for each in self._chain.stores}
        for at, leaf in enumerate(self._chain.leaves):
            kind = STORED[leaf.dtype] + ("" if at in written else " const")
            yield f"{kind} *restrict b{at} = p[{at}];"
        for at, store in self._chain.targets():
            if store.leaf is None:
                kind = STORED[self._chain.dtype(store.value)]
                yield f"{kind} *restrict b{at} = p[{at}];"
        for slot in range(self._chain.numbers):
            yield f"const double s{slot} = s[{slot}];"
        yield from reciprocals(self._quotients)
        yield "WATCHED"
        for value in self._levels.once:
            yield self._assign(value, "0")

    def _pieces(self) -> Iterator[str]:
        levels, arrays = self._levels, self._levels.arrays
        only_reads = not self._chain.stores and not arrays
        piece = "BLOCK" if only_reads else "PIECE"
        yield f"for (int64_t low = begin; low < end; low += {piece}) {{"
        yield f"const int64_t count = end - low < {piece} ? end - low : {piece};"
        for value in arrays:
            kind = real_of(self._chain.dtype(value))
            yield f"{kind} t{value}[PIECE] __attribute__((aligned(64)));"
        for value in self._levels.calls:
            real = real_of(self._link(value).works_in)
            for name in self._call_arrays(value):
                yield f"{real} {name}[PIECE] __attribute__((aligned(64)));"
        for level in range(self._levels.last + 1):
            yield from _APART
            yield "for (int64_t j = 0; j < count; j++) { const int64_t i = low + j;"
            yield from self._loop(level, "[j]")
            yield "}"
            yield from self._call(level)
        for at, reduce in enumerate(self._chain.reduces):
            value = reduce.value
            values = f"b{value} + low" if value in levels.direct else f"t{value}"
            if reduce.along == "column":
                yield from _APART
                yield column_taken_in(at, reduce, values)
            else:
                yield taken_in(at, reduce, self._real(reduce), values)
        yield "}"

    def _call_arrays(self, value: int) -> list[str]:
        call = template_of_link(self._link(value))
        assert isinstance(call, Call)
        return [f"y{value}"] + [f"a{value}_{k}" for k in range(len(call.arguments))]

    def _loop(self, level: int, at: str) -> Iterator[str]:
        """The work of one level on element `i`; arrays are read and written `at`."""
        chain, levels = self._chain, self._levels
        for value in levels.read(level):
            if value < len(chain.leaves):
                leaf = chain.leaves[value]
                index = "0" if leaf.single else _INDEX[leaf.along]
                load = f"LOAD_{leaf.dtype}(b{value}[{index}])"
                yield f"const {real_of(leaf.dtype)} v{value} = {load};"
            else:
                kind = real_of(chain.dtype(value))
                yield f"const {kind} v{value} = t{value}{at};"
        for value in levels.computed(level):
            yield self._assign(value, at)
        for value in levels.called(level):
            call = template_of_link(self._link(value))
            assert isinstance(call, Call)
            for k, argument in enumerate(call.arguments):
                yield f"a{value}_{k}{at} = {self._filled(argument, value)};"
        for value in levels.kept(level):
            yield f"t{value}{at} = v{value};"
        if level == levels.last:
            yield from self._stores()

    def _stores(self) -> Iterator[str]:
        for target, store in self._chain.targets():
            dtype = self._chain.dtype(store.value)
            if store.watched and dtype != "bool":
                yield f"WATCH_{real_of(dtype)}(v{store.value})"
            yield f"b{target}[i] = SAVE_{dtype}(v{store.value});"

    def _assign(self, value: int, at: str) -> str:
        chain = self._chain
        if value < len(chain.leaves):
            dtype = chain.leaves[value].dtype
            return f"const {real_of(dtype)} v{value} = LOAD_{dtype}(b{value}[0]);"
        link = self._link(value)
        template = template_of_link(link)
        if value in self._quotients:
            by = quotient_by(self._quotients[value])
            made = self._filled(by, value)
        elif isinstance(template, Call):
            made = self._filled(template.result, value, y=f"y{value}{at}")
        else:
            made = self._filled(template, value)
        return f"const {real_of(link.dtype)} v{value} = ROUND_{link.dtype}({made});"

    def _filled(self, template: str, value: int, y: str = "") -> str:
        link = self._link(value)
        suffix = "" if link.works_in == "float64" else "f"
        operands = [self._operand(each, link) for each in link.arguments]
        if link.name in ("addcmul", "addcdiv") and len(operands) == 3:
            operands.append(_Operand("1", "1"))
        round_ = f"INNER_{link.works_in}"
        return template.format(*operands, f=suffix, r=round_, y=y)

    def _operand(self, argument: int | Slot, link: Link) -> _Operand:
        real = real_of(link.works_in)
        if isinstance(argument, Slot):
            name = f"(({real})s{argument.index})"
        else:
            dtype = self._chain.dtype(argument)
            name = f"v{argument}"
            if real_of(dtype) != real:
                name = f"(({real}){name})"
            if not self._chain.single(argument):
                return _Operand(name, name)
        return _Operand(name, f"ROUND_{link.works_in}({name})")

    def _call(self, level: int) -> Iterator[str]:
        for value in self._levels.called(level):
            index, found = self._functions[value]
            real = real_of(self._link(value).works_in)
            result, *arguments = self._call_arrays(value)
            given = ", ".join(arguments)
            if found.lanes:
                two = "2" if len(arguments) == 2 else ""
                yield (
                    f"call{two}_{real}_{found.lanes}(c->functions[{index}], count, "
                    f"{given}, {result});"
                )
            else:
                yield (
                    f"((mkl_{real})c->functions[{index}])((int)count, {given}, "
                    f"{result}, MODE);"
                )
