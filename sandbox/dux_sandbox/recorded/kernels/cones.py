"""What a pass has to make, gathered into strands: tensors that go through a kernel
together because they read or write the same memory."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from dux_sandbox.recorded.kernels.chains import (
    Along,
    Chain,
    Leaf,
    Link,
    Reduce,
    Slot,
    Store,
)
from dux_sandbox.recorded.kernels.fusing import Fused, Gathered
from dux_sandbox.recorded.kernels.groups import Groups
from dux_sandbox.recorded.kernels.rows_apart import in_rows
from dux_sandbox.recorded.kernels.sizes import require_few_walked
from dux_sandbox.recorded.program import Program, TensorType, ValueType

Use = tuple[int, Along | None]
"""A value, and how it goes with what is made of it."""


@dataclass(frozen=True)
class Root:
    """One thing that a pass makes.

    Attributes:
        value: what is stored, or reduced.
        output: the index of the output that it is stored to; None: it is kept.
        gathered: how it is reduced, or None.
        made: the value that the reduction is.
        other: the second value that the reduction is of.
    """

    value: int
    output: int | None = None
    gathered: Gathered | None = None
    made: int = -1
    other: int | None = None

    @property
    def values(self) -> tuple[int, ...]:
        """What it is made of."""
        return (self.value,) if self.other is None else (self.value, self.other)


@dataclass(frozen=True)
class Strand:
    """What one tensor of a pass, and those of its shape beside it, work with.

    Attributes:
        elements: of each of them.
        buffers: the number of a value; or, from the number of values on, an output.
        slots: values that are Python's numbers.
        width: elements of a row, where the chain asks for rows; else all of them.
    """

    elements: int
    buffers: tuple[int, ...]
    slots: tuple[int, ...]
    width: int


class Cones:
    """The ways from what is in memory to what a pass makes."""

    def __init__(
        self,
        program: Program,
        types: Sequence[ValueType],
        fused: Mapping[int, Fused],
        kept: Mapping[int, int],
        reshaped: Mapping[int, int],
        widths: Mapping[int, int],
    ) -> None:
        """Of a program.

        Args:
            fused: values that kernels make element by element.
            kept: those of them that a pass writes to memory, with its stage.
            reshaped: values that are another one in another shape.
            widths: of the rows of values.
        """
        self._program = program
        self._types = types
        self._fused = fused
        self._kept = kept
        self._reshaped = reshaped
        self._widths = widths
        inputs = {each.place: at for at, each in enumerate(program.inputs)}
        self._in_place: dict[int, int] = {}
        for index, output in enumerate(program.outputs):
            at = inputs.get(output.place)
            if at is not None and types[at] == types[output.value]:
                self._in_place[index] = at

    def strands(self, roots: Sequence[Root], stage: int) -> list[tuple[Chain, Strand]]:
        """The strands of one stage, each with its chain.

        Raises:
            CannotCompile: it would take too long to tell which they are.
        """
        cones, walked = [], 0
        for root in roots:
            cones.append(self._cone(root, stage))
            walked += sum(map(len, cones[-1]))
            require_few_walked(walked)
        groups = Groups()
        for index, (root, (_, leaves)) in enumerate(zip(roots, cones, strict=True)):
            size = self._elements(root.value)
            groups.join(index, [v for v in leaves if self._elements(v) == size])
            if root.output is not None and root.output in self._in_place:
                groups.join(index, [self._in_place[root.output]])
        made = []
        for members in groups.of(range(len(roots))):
            links = sorted(set().union(*(cones[each][0] for each in members)))
            together = [roots[each] for each in members]
            made.append(_Weaver(self, together, links).woven())
        return made

    def _cone(self, root: Root, stage: int) -> tuple[set[int], set[int]]:
        links: set[int] = set()
        leaves: set[int] = set()
        waiting = [*root.values]
        while waiting:
            value = waiting.pop()
            if value in links or value in leaves:
                continue
            if value not in self._fused or self._kept.get(value, stage) < stage:
                leaves.add(value)
                continue
            links.add(value)
            waiting += [v for v in self.arguments(value) if self.is_tensor(v)]
        return links, leaves

    def arguments(self, value: int) -> tuple[int, ...]:
        """The arguments of the operation that makes a value."""
        operation = self._program.operation_of(value)
        given = () if operation is None else operation.arguments
        return tuple(self._reshaped.get(each, each) for each in given)

    def uses(self, value: int) -> Iterator[Use]:
        """The arguments of an operation that are tensors, each with how it goes with
        the result."""
        operation = self._program.operation_of(value)
        for each in () if operation is None else operation.arguments:
            if self.is_tensor(each):
                found = in_rows(self.tensor(each), self.tensor(value))
                along = None if found is None else found.along
                yield self._reshaped.get(each, each), along

    def width(self, value: int) -> int:
        """The elements of a row of a value that kernels see as rows."""
        return self._widths[value]

    def is_tensor(self, value: int) -> bool:
        """Whether it is no number."""
        return isinstance(self._types[value], TensorType)

    def tensor(self, value: int) -> TensorType:
        """The type of a value that is a tensor."""
        kind = self._types[value]
        assert isinstance(kind, TensorType)
        return kind

    def _elements(self, value: int) -> int:
        return self.tensor(value).elements

    def fused(self, value: int) -> Fused:
        """How a kernel makes it."""
        return self._fused[value]

    def in_place(self, output: int) -> int | None:
        """The input whose place an output is written to, if it has its type."""
        return self._in_place.get(output)

    def buffer_of(self, output: int) -> int:
        """The number of the buffer of an output."""
        return self._program.values + output

    def written_by(self, buffer: int) -> int:
        """The input in whose place a buffer is, or the buffer itself."""
        source = self._in_place.get(buffer - self._program.values)
        return buffer if source is None else source

    def watched(self, output: int) -> bool:
        """Whether what is written there must be finite."""
        return self._program.outputs[output].place[0] == "parameter"


class _Weaver:
    """One strand in the making: numbers of values become indices of its own."""

    def __init__(self, cones: Cones, roots: list[Root], links: list[int]) -> None:
        self._cones = cones
        self._roots = roots
        self._elements = cones.tensor(roots[0].value).elements
        self._leaves: dict[Use, int] = {}
        self._slots: dict[int, int] = {}
        inside = set(links)
        uses = [each for link in links for each in cones.uses(link)]
        uses += [(value, None) for each in roots for value in each.values]
        for use in uses:
            if use[0] not in inside:
                self._leaves.setdefault(use, len(self._leaves))
        for value in (each for link in links for each in cones.arguments(link)):
            if not cones.is_tensor(value):
                self._slots.setdefault(value, len(self._slots))
        self._at: dict[Use, int] = dict(self._leaves)
        for at, value in enumerate(links, len(self._leaves)):
            self._at[value, None] = at
        self._links = [self._link(value) for value in links]
        self._own: list[int] = []

    def _single(self, value: int) -> bool:
        return self._cones.tensor(value).elements == 1 < self._elements

    def _link(self, value: int) -> Link:
        fused, made = self._cones.fused(value), self._cones.tensor(value)
        uses = self._cones.uses(value)
        arguments = tuple(
            self._at[next(uses)]
            if self._cones.is_tensor(each)
            else Slot(self._slots[each])
            for each in self._cones.arguments(value)
        )
        return Link(
            fused.name,
            arguments,
            fused.attributes,
            made.dtype,
            fused.works_in,
            self._single(value),
        )

    def woven(self) -> tuple[Chain, Strand]:
        """The chain, and the strand that goes through it."""
        buffers = [value for value, _ in self._leaves]
        stores, reduces, results = [], [], []
        for root in self._roots:
            if root.gathered is None:
                stores.append(self._store(root, buffers))
            else:
                reduces.append(self._reduce(root, root.gathered))
                results.append(root.made)
        leaves = tuple(
            Leaf(self._cones.tensor(value).dtype, self._single(value), along)
            for value, along in self._leaves
        )
        chain = Chain(
            leaves,
            tuple(self._links),
            tuple(stores),
            tuple(reduces),
            len(self._slots),
        )
        together = (*buffers, *self._own, *results)
        width = self._elements
        if chain.in_rows:
            width = self._cones.width(self._roots[0].value)
        return chain, Strand(self._elements, together, tuple(self._slots), width)

    def _store(self, root: Root, buffers: list[int]) -> Store:
        value = self._at[root.value, None]
        if root.output is None:
            self._own.append(root.value)
            return Store(value)
        watched = self._cones.watched(root.output)
        target = self._cones.buffer_of(root.output)
        source = self._cones.in_place(root.output)
        leaf = None if source is None else self._leaves.get((source, None))
        if leaf is None:
            self._own.append(target)
        else:
            buffers[leaf] = target
        return Store(value, leaf, watched)

    def _reduce(self, root: Root, gathered: Gathered) -> Reduce:
        values = tuple(self._at[each, None] for each in root.values)
        value, dtype = values[0], self._cones.tensor(root.value).dtype
        if gathered.first is not None:
            self._links.append(Link(gathered.first, values, (), dtype, dtype))
            value = len(self._leaves) + len(self._links) - 1
        made = self._cones.tensor(root.made).dtype
        return Reduce(value, gathered.kind, made, gathered.along)
