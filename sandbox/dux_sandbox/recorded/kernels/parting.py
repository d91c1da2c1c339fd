"""A program over tensors that were cut into parts; see `cutting`."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import torch

from dux_sandbox.recorded.kernels.cutting import PRODUCTS, SCATTERS, cuts_of, rows_of
from dux_sandbox.recorded.kernels.fusing import types_of
from dux_sandbox.recorded.program import (
    Input,
    Operation,
    Output,
    Program,
    TensorType,
    ValueType,
)


@dataclass(frozen=True)
class Parts:
    """How the inputs of a program come of those of the program that was cut.

    Attributes:
        outputs: how many outputs that had.
        rows: of each input that was cut, by its index, the rows of its parts. The
            first part stands in its place, the others after all inputs.
    """

    outputs: int
    rows: tuple[tuple[int, tuple[int, ...]], ...] = ()

    def of(self, inputs: Sequence[Any]) -> list[Any]:
        """The parts of tensors, in their memory."""
        made = list(inputs)
        for at, rows in self.rows:
            tensor: torch.Tensor = made[at].detach()
            made[at], *others = tensor.split(list(rows))
            made += others
        return made


def parted(program: Program) -> tuple[Program, Parts]:
    """The same program with tensors cut into parts, wherever that spares a copy.

    Its first outputs are those that were there; where one of them was cut, one of its
    parts is. Those parts are written that are not what they were.
    """
    types = types_of(program)
    cuts = cuts_of(program, types)
    if not cuts:
        return program, Parts(len(program.outputs))
    return _Cutting(program, types, cuts).done()


class _Cutting:
    def __init__(
        self,
        program: Program,
        types: Sequence[ValueType],
        cuts: dict[int, tuple[int, ...]],
    ) -> None:
        self._program, self._types, self._cuts = program, types, cuts
        self._inputs = list(program.inputs)
        self._rows: list[tuple[int, tuple[int, ...]]] = []
        self._operations: list[Operation] = []
        self._new: dict[int, int] = {}
        self._parts: dict[int, list[int]] = {}
        self._line: int | None = None
        for at in range(len(program.inputs)):
            self._new[at] = at
            if at in cuts:
                self._cut_input(at)
        for value, operation in enumerate(program.operations, len(program.inputs)):
            self._line = operation.line
            if value in cuts:
                self._parts[value] = self._cut(value, operation)
            else:
                self._new[value] = self._made(operation)

    def done(self) -> tuple[Program, Parts]:
        program, new = self._program, self._new
        outputs, more = [], []
        inputs = {each.place: at for at, each in enumerate(program.inputs)}
        for output in program.outputs:
            if output.value not in self._cuts:
                outputs.append(replace(output, value=new[output.value]))
                continue
            at = inputs[output.place]
            pairs = list(zip(self._parts[output.value], self._parts[at], strict=True))
            # One at least, since all outputs have their numbers.
            first, *others = [x for x in pairs if x[0] != x[1]] or pairs[:1]
            outputs.append(Output(self._inputs[first[1]].place, first[0]))
            more += [Output(self._inputs[was].place, made) for made, was in others]
        guards = tuple(replace(each, value=new[each.value]) for each in program.guards)
        made = replace(
            program,
            inputs=tuple(self._inputs),
            operations=tuple(self._operations),
            guards=guards,
            outputs=(*outputs, *more),
            result=None if program.result is None else new[program.result],
        )
        return made, Parts(len(outputs), tuple(self._rows))

    def _kind(self, value: int) -> TensorType:
        kind = self._types[value]
        assert isinstance(kind, TensorType)
        return kind

    def _sizes(self, value: int) -> list[int]:
        at = self._cuts[value]
        return [end - begin for begin, end in pairwise(at)]

    def _do(self, name: str, *arguments: int, **attributes: Any) -> int:
        self._operations.append(Operation(name, arguments, attributes, self._line))
        return len(self._inputs) + len(self._operations) - 1

    def _cut_input(self, at: int) -> None:
        """Read its parts, each at a place of its own."""
        given, sizes = self._inputs[at], self._sizes(at)
        rest = self._kind(at).shape[1:]
        parts = [
            Input((*given.place, part), TensorType(self._kind(at).dtype, (many, *rest)))
            for part, many in enumerate(sizes)
        ]
        first = len(self._inputs)
        self._inputs[at] = parts[0]
        self._inputs += parts[1:]
        self._parts[at] = [at, *range(first, first + len(parts) - 1)]
        self._rows.append((at, tuple(sizes)))

    def _cut(self, value: int, operation: Operation) -> list[int]:
        """The parts of what an operation gives."""
        sizes, rest = self._sizes(value), self._kind(value).shape[1:]
        if operation.name in SCATTERS:
            return self._scattered(value, operation)
        if operation.name in ("cat", "stack"):
            given = [self._new[each] for each in operation.arguments]
            if operation.name == "cat":
                return given
            return [self._do("reshape", each, shape=[1, *rest]) for each in given]
        made = []
        for part, many in enumerate(sizes):
            arguments = [
                self._parts[each][part] if each in self._cuts else self._new[each]
                for each in operation.arguments
            ]
            attributes = dict(operation.attributes)
            if operation.name == "full":
                attributes["size"] = [many, *rest]
            made.append(self._do(operation.name, *arguments, **attributes))
        return made

    def _scattered(self, value: int, operation: Operation) -> list[int]:
        base, source = operation.arguments
        parts, at = list(self._parts[base]), self._cuts[value]
        rows = rows_of(operation, at[-1])
        assert rows is not None
        rest = self._kind(value).shape[1:]
        for part, (begin, end) in enumerate(pairwise(at)):
            if not rows[0] <= begin < rows[1]:
                continue
            made = self._new[source]
            if operation.name == "select_scatter":
                made = self._do("reshape", made, shape=[1, *rest])
            elif (begin, end) != rows:
                span = {"start": begin - rows[0], "end": end - rows[0], "step": 1}
                made = self._do("slice", made, dim=0, **span)
            parts[part] = made
        return parts

    def _made(self, operation: Operation) -> int:
        """What is whole, of parts or of what is whole."""
        first = operation.arguments[0] if operation.arguments else -1
        if first in self._cuts and operation.name in ("select", "slice"):
            return self._taken(first, operation)
        if first in self._cuts and operation.name in PRODUCTS:
            pairs = zip(*(self._parts[x] for x in operation.arguments), strict=True)
            made = [self._do(operation.name, *pair) for pair in pairs]
            over = {"dim": None, "keepdim": False, "dtype": None}
            return self._do("sum", self._do("stack", *made, dim=0), **over)
        if first in self._cuts:
            return self._together(first, operation)
        given = [self._new[each] for each in operation.arguments]
        return self._do(operation.name, *given, **operation.attributes)

    def _taken(self, of: int, operation: Operation) -> int:
        at = self._cuts[of]
        rows = rows_of(operation, at[-1])
        assert rows is not None
        begins = zip(at, self._parts[of], strict=False)
        parts = [part for begin, part in begins if rows[0] <= begin < rows[1]]
        made = parts[0] if len(parts) == 1 else self._do("cat", *parts, dim=0)
        if operation.name == "slice":
            return made
        return self._do("reshape", made, shape=list(self._kind(of).shape[1:]))

    def _together(self, of: int, operation: Operation) -> int:
        """A reduction of parts: of all their elements, or of rows."""
        name, others = operation.name, [self._new[x] for x in operation.arguments[1:]]
        parts, kind = self._parts[of], self._kind(of)
        dims = operation.attributes["dim"]
        if dims and len(kind.shape) > len({each % len(kind.shape) for each in dims}):
            rows = [self._do("reshape", x, shape=list(kind.shape[1:])) for x in parts]
            stack = self._do("stack", *rows, dim=0)
            return self._do(name, stack, **operation.attributes)
        over = {**operation.attributes, "dim": None}
        step = "sum" if name == "mean" else name
        made = [self._do(step, each, *others, **over) for each in parts]
        stack = self._do("stack", *made, dim=0)
        whole = self._do(step, stack, *others, **over)
        if name != "mean":
            return whole
        many = self._do("constant", value=kind.elements)
        return self._do("div", whole, many)
