"""What stands at some places of a sorted tensor, without sorting it.

A quantile, a median by hand and the smallest of the largest tenth are one or two
elements of a tensor that torch sorts for it: that takes ten times as long as to look
for these alone.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from dux_sandbox.recorded.kernels.fusing import types_of
from dux_sandbox.recorded.kernels.spelling import with_operations
from dux_sandbox.recorded.operations_of_ranks import LARGE
from dux_sandbox.recorded.program import Operation, Program, TensorType, ValueType

_MOST_RANKS = 4
_KNOWN = ("float32", "float64")


def by_ranks(program: Program) -> Program:
    """The same program, with elements at ranks for what is sorted and hardly read."""
    if not any(each.name in ("sort", "topk") for each in program.operations):
        return program
    sorts = _Sorts(program)
    return _Writing(program, sorts).done() if sorts.found else program


def is_quick_median(program: Program, types: Sequence[ValueType], value: int) -> bool:
    """Whether a value is the median of a tensor that is worth looking twice."""
    operation = program.operation_of(value)
    if operation is None or operation.name != "median":
        return False
    kind = types[operation.arguments[0]]
    assert isinstance(kind, TensorType)
    return kind.dtype in _KNOWN and kind.elements >= LARGE


class _Sorts:
    """The sorted tensors of a program of which only some elements are read.

    Attributes:
        found: of the first part of each of these sorts, what was sorted, how many
            elements it has, and whether the largest one comes first.
        readers: the values that are made of those parts.
    """

    def __init__(self, program: Program) -> None:
        self._program, self._types = program, types_of(program)
        self._users: dict[int, list[int]] = defaultdict(list)
        for value, operation in enumerate(program.operations, len(program.inputs)):
            for each in operation.arguments:
                self._users[each].append(value)
        self._seen = {each.value for each in program.guards}
        self._seen |= {each.value for each in program.outputs}
        if program.result is not None:
            self._seen.add(program.result)
        self.found: dict[int, tuple[int, int, bool]] = {}
        self.readers: dict[int, int] = {}
        for value, operation in enumerate(program.operations, len(program.inputs)):
            if operation.name in ("sort", "topk"):
                self._look(value, operation)

    def _look(self, value: int, operation: Operation) -> None:
        (of,) = operation.arguments
        kind = self._types[of]
        assert isinstance(kind, TensorType)
        is_known = kind.dtype in _KNOWN and len(kind.shape) == 1
        if not is_known or kind.elements < LARGE or value in self._seen:
            return
        given = operation.attributes
        falls = given["descending" if operation.name == "sort" else "largest"]
        if operation.name == "topk" and not given["sorted"]:
            return
        parts = [x for x in self._users[value] if self._users[x] or x in self._seen]
        if len(parts) != 1 or self.operation(parts[0]).attributes.get("index") != 0:
            return
        (part,) = parts
        readers = self._users[part]
        whole = operation.name == "sort"
        if part in self._seen or not all(self._is_few(x, whole) for x in readers):
            return
        self.found[part] = of, kind.elements, bool(falls)
        self.readers |= dict.fromkeys(readers, part)

    def operation(self, value: int) -> Operation:
        """What makes a value that is no input."""
        found = self._program.operation_of(value)
        assert found is not None
        return found

    def _is_few(self, value: int, whole: bool) -> bool:
        """Whether a reader of a sorted tensor wants a few of its elements, or what is
        the same of the tensor as it was."""
        operation = self.operation(value)
        if operation.name == "select":
            return True
        if operation.name == "isnan" and whole:
            return value not in self._seen and all(
                self.operation(each).name == "any"
                and self._types[each]
                in (TensorType("bool", ()), TensorType("bool", (1,)))
                for each in self._users[value]
            )
        made = self._types[value]
        few = isinstance(made, TensorType) and made.elements <= _MOST_RANKS
        return operation.name == "gather" and whole and few


class _Writing:
    """The program written anew."""

    def __init__(self, program: Program, sorts: _Sorts) -> None:
        self._program, self._sorts = program, sorts
        self._operations: list[Operation] = []
        self._new = {at: at for at in range(len(program.inputs))}
        for value, operation in enumerate(program.operations, len(program.inputs)):
            given = [self._new[each] for each in operation.arguments]
            if value in sorts.readers:
                self._new[value] = self._read(operation, sorts.readers[value], given)
            else:
                own = replace(operation, arguments=tuple(given))
                self._new[value] = self._add(own)

    def done(self) -> Program:
        return with_operations(self._program, self._operations, self._new)

    def _add(self, operation: Operation) -> int:
        self._operations.append(operation)
        return len(self._program.inputs) + len(self._operations) - 1

    def _read(self, operation: Operation, part: int, given: list[int]) -> int:
        of, many, falls = self._sorts.found[part]
        source = self._new[of]

        def do(name: str, *arguments: int, **attributes: Any) -> int:
            return self._add(Operation(name, arguments, attributes, operation.line))

        if operation.name == "isnan":
            return do("isnan", source)
        if operation.name == "gather":
            ranks = given[1]
            if falls:
                ranks = do("rsub", ranks, do("constant", value=many - 1))
            return do("at_ranks", source, ranks)
        made = self._sorts.operation(part)
        sort = self._sorts.operation(made.arguments[0])
        size = sort.attributes.get("k", many)
        index = operation.attributes["index"] % size
        rank = do("constant", value=many - 1 - index if falls else index)
        ranks = do("full", rank, size=[1], dtype="int64")
        return do("reshape", do("at_ranks", source, ranks), shape=[])
