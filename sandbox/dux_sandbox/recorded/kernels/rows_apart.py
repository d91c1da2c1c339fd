"""Tensors that are rows to a kernel: one number for each row, or one row for all."""

import math
from dataclasses import dataclass

from dux_sandbox.recorded.kernels.chains import Along
from dux_sandbox.recorded.kernels.groups import Sets
from dux_sandbox.recorded.kernels.templates import is_known
from dux_sandbox.recorded.operations import TABLE
from dux_sandbox.recorded.program import Operation, Program, TensorType, ValueType

RESHAPES = ("reshape", "squeeze", "unsqueeze")
"""Operations that give the same elements, in the same order."""
_LEAST = 8
"""Elements of a row below which a loop over it costs more than torch's own; and rows
below which what is kept for each column takes memory that counts."""


@dataclass(frozen=True)
class InRows:
    """How a smaller tensor goes with a larger one.

    Attributes:
        along: "row": it has one element for each row; "column": it is one row for all.
        width: elements of a row of the larger one.
    """

    along: Along
    width: int


def in_rows(small: TensorType, large: TensorType) -> InRows | None:
    """How torch brings a smaller tensor to the shape of a larger one, where rows do.

    >>> in_rows(TensorType("float32", (4, 1)), TensorType("float32", (4, 32)))
    InRows(along='row', width=32)
    >>> in_rows(TensorType("float32", (32,)), TensorType("float32", (4, 32)))
    InRows(along='column', width=32)
    """
    if not 1 < small.elements < large.elements or len(small.shape) > len(large.shape):
        return None
    shape = (1,) * (len(large.shape) - len(small.shape)) + small.shape
    for cut in range(1, len(shape)):
        before, after = shape[:cut], shape[cut:]
        width = math.prod(large.shape[cut:])
        if width < _LEAST:
            continue
        if before == large.shape[:cut] and math.prod(after) == 1:
            return InRows("row", width)
        if math.prod(before) == 1 and after == large.shape[cut:]:
            return InRows("column", width)
    return None


def reduced_rows(operation: Operation, kind: TensorType) -> InRows | None:
    """The rows that an operation reduces to one element each, or whose columns."""
    dims, ndim = operation.attributes.get("dim"), len(kind.shape)
    if not isinstance(dims, list) or not 0 < len(dims) < ndim:
        return None
    over = sorted(each % ndim for each in dims)
    if over == list(range(ndim - len(over), ndim)):
        along: Along = "row"
        width = math.prod(kind.shape[over[0] :])
    elif over == list(range(len(over))):
        along, width = "column", math.prod(kind.shape[len(over) :])
    else:
        return None
    few = min(width, kind.elements // max(1, width))
    return InRows(along, width) if few >= _LEAST else None


def row_widths(program: Program, types: tuple[ValueType, ...]) -> dict[int, int] | None:
    """For each value that kernels see as rows, how wide these are.

    What goes through a kernel together has rows of one width. None where two would
    have to go together: nothing is done by rows then.
    """
    alike: Sets[int] = Sets()
    told: list[tuple[int, int]] = []
    for value in range(len(program.inputs), program.values):
        operation, made = program.operation_of(value), types[value]
        assert operation is not None
        if not isinstance(made, TensorType):
            continue
        given = [each for each in operation.arguments if _is_tensor(types[each])]
        if operation.name in RESHAPES:
            alike.join(value, given[0])
        elif is_known(operation.name):
            for each in given:
                kind = types[each]
                assert isinstance(kind, TensorType)
                if kind.elements == made.elements:
                    alike.join(value, each)
                elif (found := in_rows(kind, made)) is not None:
                    told.append((value, found.width))
        elif TABLE[operation.name].room == "reduction" and given:
            kind = types[given[0]]
            assert isinstance(kind, TensorType)
            rows = reduced_rows(operation, kind)
            if rows is not None:
                told.append((given[0], rows.width))
    inputs = {each.place: at for at, each in enumerate(program.inputs)}
    for output in program.outputs:
        at = inputs.get(output.place)
        if at is not None and types[at] == types[output.value]:
            alike.join(at, output.value)
    widths: dict[int, int] = {}
    for value, width in told:
        if widths.setdefault(alike.top(value), width) != width:
            return None
    tops = ((value, alike.top(value)) for value in range(program.values))
    return {value: widths[top] for value, top in tops if top in widths}


def _is_tensor(kind: ValueType) -> bool:
    return isinstance(kind, TensorType)
