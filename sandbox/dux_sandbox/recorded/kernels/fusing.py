"""Which operations of a program a kernel can do, and as what."""

import math
from collections.abc import Container, Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch

from dux_sandbox.recorded.kernels.chains import FLOATS, Along, Reduction
from dux_sandbox.recorded.kernels.rows_apart import RESHAPES, in_rows, reduced_rows
from dux_sandbox.recorded.kernels.targets import CPU, Target
from dux_sandbox.recorded.kernels.templates import (
    CALLS,
    ON_BOOLEANS,
    Call,
    is_known,
    template_of,
)
from dux_sandbox.recorded.operations import TABLE
from dux_sandbox.recorded.program import Operation, Program, TensorType, ValueType
from dux_sandbox.recorded.rows import DTYPES
from dux_sandbox.recorded.typing_of import result_of

DTYPES_OF_KERNELS = (*FLOATS, "bool")
"""The dtypes of tensors that a kernel can read and write."""
_NAMES = {dtype: name for name, dtype in DTYPES.items()}


@dataclass(frozen=True)
class Fused:
    """An operation as a link of a chain; see `chains.Link`."""

    name: str
    attributes: tuple[tuple[str, Any], ...]
    works_in: str


def types_of(program: Program) -> tuple[ValueType, ...]:
    """The type of each value of a program that was verified."""
    types: list[ValueType] = [each.type for each in program.inputs]
    for operation in program.operations:
        given = tuple(types[each] for each in operation.arguments)
        types.append(result_of(operation.name, given, operation.attributes))
    return tuple(types)


def fused_form(
    program: Program,
    types: tuple[ValueType, ...],
    value: int,
    target: Target = CPU,
    by_rows: bool = False,
) -> Fused | None:
    """How a kernel makes a value element by element; None where none does.

    Args:
        by_rows: also of tensors that go with each other by rows.
    """
    operation, made = program.operation_of(value), types[value]
    if operation is None or not isinstance(made, TensorType):
        return None
    if not is_known(operation.name) or not _is_for_kernels(made):
        return None
    tensors = [
        kind
        for kind in (types[each] for each in operation.arguments)
        if isinstance(kind, TensorType)
    ]
    for kind in tensors:
        if not _is_for_kernels(kind):
            return None
        if kind.elements > 1 and kind.shape != made.shape:
            if not by_rows or in_rows(kind, made) is None:
                return None
    works_in = _works_in(operation, tensors, made)
    if works_in is None or not _is_exact(program, types, operation):
        return None
    fused = Fused(operation.name, _attributes(program, operation, made), works_in)
    call = template_of(fused.name, fused.attributes)
    if isinstance(call, Call) and not target.calls(call.function, works_in):
        return None
    return fused


def _is_for_kernels(kind: TensorType) -> bool:
    return kind.dtype in DTYPES_OF_KERNELS and kind.elements > 0


def _works_in(
    operation: Operation, tensors: list[TensorType], made: TensorType
) -> str | None:
    """The dtype that torch brings the arguments to before it computes."""
    name = operation.name
    given = [each.dtype for each in tensors if each.shape] or [
        each.dtype for each in tensors
    ]
    if name == "to":
        return given[0] if given[0] != "bool" else made.dtype
    if name in ("where", "masked_fill") or made.dtype != "bool":
        works_in = made.dtype
    else:
        common = DTYPES[given[0]]
        for each in given[1:]:
            common = torch.promote_types(common, DTYPES[each])
        works_in = _NAMES[common]
    return works_in if works_in != "bool" or name in ON_BOOLEANS else None


def _is_exact(
    program: Program, types: tuple[ValueType, ...], operation: Operation
) -> bool:
    """Whether the template means what torch does, for arguments of these kinds."""
    kinds = [types[each] for each in operation.arguments]
    if operation.name == "pow":
        exponent = _constant(program, operation.arguments[1])
        # Torch looks at the number: 2.0 is a square, whatever it was before.
        return isinstance(kinds[0], TensorType) and (
            exponent is not None or isinstance(kinds[1], TensorType)
        )
    if operation.name == "clamp":
        return len({isinstance(each, str) for each in kinds[1:]}) == 1
    if operation.name == "nan_to_num":
        return all(map(math.isfinite, filter(None, operation.attributes.values())))
    if operation.name in CALLS or operation.name.startswith("bitwise"):
        return all(isinstance(each, TensorType) for each in kinds)
    return True


def _constant(program: Program, value: int) -> float | None:
    operation = program.operation_of(value)
    if operation is None or operation.name != "constant":
        return None
    return float(operation.attributes["value"])


def _attributes(
    program: Program, operation: Operation, made: TensorType
) -> tuple[tuple[str, Any], ...]:
    if operation.name == "pow":
        exponent = _constant(program, operation.arguments[1])
        return () if exponent is None else (("exponent", exponent),)
    if operation.name == "nan_to_num":
        return _in_place_of(operation, made)
    return ()


def _in_place_of(operation: Operation, made: TensorType) -> tuple[tuple[str, Any], ...]:
    """What stands where elements are no numbers, negative or positive infinity."""
    most = torch.finfo(DTYPES[made.dtype])
    usual = {"nan": 0.0, "neginf": most.min, "posinf": most.max}
    given = operation.attributes
    return tuple(
        (name, float(number if given[name] is None else given[name]))
        for name, number in usual.items()
    )


@dataclass(frozen=True)
class Gathered:
    """A reduction as a kernel does it, of all elements of one value to one.

    Attributes:
        first: the operation on each element that comes before it: "abs", or "mul" by
            the element of a second value.
        along: each row to one, or each column.
    """

    kind: Reduction
    first: Literal["abs", "mul"] | None = None
    along: Along | None = None


def gathered_form(
    program: Program,
    types: tuple[ValueType, ...],
    value: int,
    by_rows: bool = False,
) -> Gathered | None:
    """How a kernel makes a value by reducing its argument; None where none does.

    Args:
        by_rows: also each row, or each column, by itself.
    """
    operation, made = program.operation_of(value), types[value]
    if operation is None or not isinstance(made, TensorType):
        return None
    if TABLE[operation.name].room not in ("reduction", "matrix"):
        return None
    kind = types[operation.arguments[0]]
    assert isinstance(kind, TensorType)
    if made.dtype != kind.dtype or kind.elements < 2:
        return None
    found = _reduction(program, operation, kind.dtype)
    if found is None or made.elements == 1:
        return found
    rows = reduced_rows(operation, kind) if by_rows else None
    return None if rows is None else replace(found, along=rows.along)


def _reduction(program: Program, operation: Operation, dtype: str) -> Gathered | None:
    if dtype == "bool":
        asked = {"all": Gathered("amin"), "any": Gathered("amax")}
        return asked.get(operation.name)
    if dtype not in FLOATS:
        return None
    if operation.name == "norm":
        order = _constant(program, operation.arguments[1])
        known: dict[float | None, Gathered] = {
            1.0: Gathered("sum", first="abs"),
            2.0: Gathered("norm2"),
            math.inf: Gathered("amax", first="abs"),
        }
        return known.get(order)
    simple: dict[str, Gathered] = {
        "sum": Gathered("sum"),
        "mean": Gathered("mean"),
        "amax": Gathered("amax"),
        "amin": Gathered("amin"),
    }
    if dtype in ("float32", "float64"):
        # Of half precision a product of two elements would be rounded.
        simple |= dict.fromkeys(("dot", "vdot"), Gathered("sum", first="mul"))
    return simple.get(operation.name)


def forms_of(
    program: Program,
    types: tuple[ValueType, ...],
    values: Iterable[int],
    target: Target,
    *,
    by_rows: bool,
) -> tuple[dict[int, Fused], dict[int, Gathered]]:
    """How kernels make those of some values that they make: each element, or of all."""
    fused: dict[int, Fused] = {}
    gathered: dict[int, Gathered] = {}
    for value in sorted(values):
        one = fused_form(program, types, value, target, by_rows)
        if one is not None:
            fused[value] = one
            continue
        of_all = gathered_form(program, types, value, by_rows)
        if of_all is not None:
            gathered[value] = of_all
    return fused, gathered


def reshaped_by_kernels(
    program: Program,
    types: tuple[ValueType, ...],
    needed: Container[int],
    by_kernels: Container[int],
) -> dict[int, int]:
    """Values that only kernels ask for, and what they are another shape of.

    No memory is made for them: kernels work on what is contiguous, so the same elements
    lie in the same row. What torch asks for it takes itself, as a view.

    Args:
        needed: values without which the step is not taken.
        by_kernels: values that kernels make.
    """
    wanted_by_torch = {program.result}
    reshaped: list[tuple[int, int]] = []
    for value in reversed(range(len(program.inputs), program.values)):
        operation = program.operation_of(value)
        assert operation is not None
        if value not in needed:
            continue
        if value not in wanted_by_torch and _keeps_order(operation, types[value]):
            reshaped.append((value, operation.arguments[0]))
        elif value not in by_kernels:
            wanted_by_torch.update(operation.arguments)
    same: dict[int, int] = {}
    for value, source in reversed(reshaped):
        same[value] = same.get(source, source)
    return same


def _keeps_order(operation: Operation, made: ValueType) -> bool:
    return (
        operation.name in RESHAPES
        and isinstance(made, TensorType)
        and _is_for_kernels(made)
    )
