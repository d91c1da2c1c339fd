"""The verifier: accepts or refuses any program, before any of it runs.

It takes nothing on trust: names, arguments, attributes, types, sizes, places and the
work that all of it would be.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dux_sandbox.recorded.json_form import ProgramRefused
from dux_sandbox.recorded.lifetimes import last_uses
from dux_sandbox.recorded.operations import TABLE
from dux_sandbox.recorded.program import (
    Operation,
    Place,
    Program,
    TensorType,
    TupleType,
    ValueType,
)
from dux_sandbox.recorded.random_operations import KINDS
from dux_sandbox.recorded.rows import DTYPES, Row
from dux_sandbox.recorded.trees import LEAF
from dux_sandbox.recorded.typing_of import result_of
from dux_sandbox.recorded.work import work_of

_MOST_DIMENSIONS = 16
_MOST_DIGITS = 1 << 40


@dataclass(frozen=True)
class Allowed:
    """What a program may read, write and use up.

    Attributes:
        readable: the type of each place that there is.
        writable: the type that each place must be given, of those that may be written.
        free: the first parts of places whose type may change: what the rule keeps.
        tensor_bytes: the most that one value may take.
        kept_bytes: the most that all outputs of free places may take together.
        made_bytes: the most that what a step makes may take at any one time.
        work: the most that one step may do, in multiplications or the like.
    """

    readable: Mapping[Place, TensorType | str]
    writable: Mapping[Place, TensorType | str]
    free: frozenset[str] = frozenset(["state", "attribute"])
    tensor_bytes: int = 1 << 30
    kept_bytes: int = 1 << 32
    made_bytes: int = 1 << 33
    work: float = field(default=1e12)


def verify(program: Program, allowed: Allowed) -> tuple[ValueType, ...]:
    """The type of each value of a program that may run.

    Raises:
        ProgramRefused: it may not, and why.
    """
    types = _inputs(program, allowed)
    work = 0.0
    for at, operation in enumerate(program.operations):
        kinds = _arguments(operation, types, at)
        made = _typed(operation, kinds, at)
        _bounded(made, allowed, at)
        work += work_of(operation.name, kinds, made)
        if work > allowed.work:
            raise ProgramRefused(
                f"a step of this program is more work than {allowed.work:.3g}"
            )
        types.append(made)
    _guards(program, types)
    _outputs(program, types, allowed)
    _made(program, types, allowed)
    return tuple(types)


def bytes_of(kind: ValueType) -> int:
    """The memory that a value takes, bytes; numbers take none."""
    if isinstance(kind, TupleType):
        return sum(bytes_of(part) for part in kind.parts)
    if isinstance(kind, str):
        return 0
    return kind.elements * DTYPES[kind.dtype].itemsize


def _inputs(program: Program, allowed: Allowed) -> list[ValueType]:
    types: list[ValueType] = []
    seen: set[Place] = set()
    for each in program.inputs:
        if each.place in seen:
            raise ProgramRefused(f"the place {_said(each.place)} is read twice")
        seen.add(each.place)
        known = allowed.readable.get(each.place)
        if known is None or type(known) is not type(each.type) or known != each.type:
            raise ProgramRefused(f"{_said(each.place)} is no {each.type}: {known}")
        types.append(each.type)
    return types


def _arguments(
    operation: Operation, types: list[ValueType], at: int
) -> tuple[ValueType, ...]:
    row = TABLE.get(operation.name)
    if row is None:
        raise ProgramRefused(f"operation {at} has no name of the table")
    letters = _letters(row, len(operation.arguments))
    if letters is None:
        raise ProgramRefused(f"operation {at}, {operation.name}: wrong arguments")
    kinds = []
    for letter, value in zip(letters, operation.arguments, strict=True):
        if not 0 <= value < len(types):
            raise ProgramRefused(f"operation {at} takes a value that is not there yet")
        kind = types[value]
        if not _fits(letter, kind):
            raise ProgramRefused(
                f"operation {at}, {operation.name}, cannot take {kind}"
            )
        kinds.append(kind)
    _attributes(operation, row, at)
    return tuple(kinds)


def _letters(row: Row, given: int) -> str | None:
    if row.signature in ("T*", "N*"):
        return row.signature[0] * given if given else None
    if not len(row.signature) - row.optional <= given <= len(row.signature):
        return None
    return row.signature[:given]


def _fits(letter: str, kind: ValueType) -> bool:
    if letter == "P":
        return isinstance(kind, TupleType)
    if letter == "T":
        return isinstance(kind, TensorType)
    if letter == "N":
        return isinstance(kind, str)
    return isinstance(kind, (TensorType, str))


def _attributes(operation: Operation, row: Row, at: int) -> None:
    if set(operation.attributes) != set(row.attributes):
        raise ProgramRefused(f"operation {at}, {operation.name}: wrong attributes")
    for name, kind in row.attributes.items():
        value = operation.attributes[name]
        if value is None and kind.endswith("?"):
            continue
        if not _CHECKS[kind.rstrip("?")](value):
            raise ProgramRefused(
                f"operation {at}, {operation.name}: {name} is no {kind}"
            )


def _is_int(value: Any) -> bool:
    return type(value) is int and abs(value) < _MOST_DIGITS


def _is_ints(value: Any) -> bool:
    few = type(value) in (list, tuple) and len(value) <= _MOST_DIMENSIONS
    return few and all(_is_int(each) for each in value)


def _is_number(value: Any) -> bool:
    return type(value) in (float, bool) or _is_int(value)


_TEXTS = frozenset(
    [
        *("none", "tanh", "floor", "trunc", "L", "U", "reduced", "complete"),
        *("sum", "prod", "mean", "amax", "amin"),
        *KINDS,
    ]
)
_CHECKS: Mapping[str, Callable[[Any], bool]] = {
    "int": _is_int,
    "ints": _is_ints,
    "seed": lambda value: type(value) is int and 0 <= value < 1 << 64,
    "bool": lambda value: type(value) is bool,
    "dtype": lambda value: type(value) is str and value in DTYPES,
    "number": _is_number,
    "text": lambda value: type(value) is str and value in _TEXTS,
}


def _typed(operation: Operation, kinds: tuple[ValueType, ...], at: int) -> ValueType:
    try:
        return result_of(operation.name, kinds, operation.attributes)
    # Whatever torch says of shapes and dtypes that do not fit.
    except Exception as error:
        raise ProgramRefused(
            f"operation {at}, {operation.name}: {str(error)[:200]}"
        ) from None


def _bounded(kind: ValueType, allowed: Allowed, at: int) -> None:
    for part in kind.parts if isinstance(kind, TupleType) else (kind,):
        if isinstance(part, str):
            continue
        if len(part.shape) > _MOST_DIMENSIONS or bytes_of(part) > allowed.tensor_bytes:
            raise ProgramRefused(
                f"operation {at} makes {bytes_of(part)} bytes; at most "
                f"{allowed.tensor_bytes}"
            )


def _guards(program: Program, types: list[ValueType]) -> None:
    last = -1
    for guard in program.guards:
        if guard.value <= last:
            raise ProgramRefused("a guard comes before the one that was asked first")
        last = guard.value
        if not 0 <= guard.value < len(types) or types[guard.value] != "bool":
            raise ProgramRefused("a guard asks what is no boolean of Python")


def _outputs(program: Program, types: list[ValueType], allowed: Allowed) -> None:
    written: set[Place] = set()
    kept = 0
    leaves = [] if program.structure is None else _leaves(program.structure)
    for value in (*leaves, *([] if program.result is None else [program.result])):
        if not 0 <= value < len(types) or isinstance(types[value], TupleType):
            raise ProgramRefused("a leaf of what is kept is no value")
    returned = None if program.result is None else types[program.result]
    if isinstance(returned, TensorType) and returned.elements != 1:
        raise ProgramRefused(f"a step returns {returned}, which is no loss")
    kept += sum(bytes_of(types[value]) for value in set(leaves))
    for output in program.outputs:
        if output.place in written:
            raise ProgramRefused(f"{_said(output.place)} is written twice")
        written.add(output.place)
        if not 0 <= output.value < len(types):
            raise ProgramRefused(f"{_said(output.place)} is given a value that is not")
        kind = types[output.value]
        _written(output.place, kind, allowed)
        if output.place[0] in allowed.free:
            kept += bytes_of(kind)
    if kept > allowed.kept_bytes:
        raise ProgramRefused(
            f"the rule would keep {kept} bytes; at most {allowed.kept_bytes}"
        )


def _made(program: Program, types: list[ValueType], allowed: Allowed) -> None:
    """The memory of a step: each value from where it is made to its last use."""
    begin, there = len(program.inputs), 0
    for at, done in enumerate(last_uses(program)):
        there += bytes_of(types[begin + at])
        if there > allowed.made_bytes:
            raise ProgramRefused(
                f"a step of this program takes more than {allowed.made_bytes} bytes"
            )
        there -= sum(bytes_of(types[value]) for value in done if value >= begin)


def _written(place: Place, kind: ValueType, allowed: Allowed) -> None:
    known = allowed.writable.get(place)
    if known is None or isinstance(kind, TupleType):
        raise ProgramRefused(f"{_said(place)} may not be written to")
    if isinstance(known, str) != isinstance(kind, str):
        raise ProgramRefused(f"{_said(place)} is a {known}, and not {kind}")
    if isinstance(kind, TensorType) and kind != known:
        raise ProgramRefused(f"{_said(place)} is a {known}, and not {kind}")


def _said(place: Place) -> str:
    return ".".join(str(part)[:60] for part in place) or "the empty place"


def _leaves(structure: Any) -> list[int]:
    """The numbers of values at the leaves of what a rule keeps."""
    found: list[int] = []
    waiting = [(structure, 0)]
    while waiting:
        node, depth = waiting.pop()
        if depth > 64 or len(waiting) > 1_000_000:
            raise ProgramRefused("what the rule keeps is too deep or too much")
        if type(node) is dict and set(node) == {LEAF}:
            value = node[LEAF]
            if type(value) is not int:
                raise ProgramRefused("a leaf of what is kept is no value")
            found.append(value)
        elif type(node) is dict:
            waiting.extend((inside, depth + 1) for inside in node.values())
        elif type(node) is list:
            waiting.extend((inside, depth + 1) for inside in node)
        elif type(node) is float and not math.isfinite(node):
            raise ProgramRefused("what is kept has a number that JSON has not")
        elif type(node) not in (str, int, float, bool, type(None)):
            raise ProgramRefused("what is kept is no plain data")
    return found
