"""Programs as JSON and back: any JSON may arrive, and only a program is made of it."""

import hashlib
import json
import math
from typing import Any

from dux_sandbox.recorded.program import (
    NUMBERS,
    Guard,
    Input,
    Operation,
    Output,
    Place,
    Program,
    TensorType,
)

MOST_OPERATIONS = 200_000
_MOST_ARGUMENTS = 1_000_000
_MOST_INPUTS = 200_000
_MOST_KEY = 200
_MOST_PLACE = 12
_ODD_NUMBERS = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}


class ProgramRefused(Exception):
    """What arrived is no program that may run; the message says why."""


def as_json(program: Program, *, lines: bool = True) -> dict[str, Any]:
    """Plain data that `program_of` makes the same program of."""
    listed: dict[str, Any] = {
        "inputs": [[list(each.place), _type_as(each.type)] for each in program.inputs],
        "operations": [
            [
                each.name,
                list(each.arguments),
                {name: _plain(value) for name, value in each.attributes.items()},
                each.line if lines else None,
            ]
            for each in program.operations
        ],
        "guards": [
            [each.value, each.expected, each.line if lines else None]
            for each in program.guards
        ],
        "outputs": [[list(each.place), each.value] for each in program.outputs],
        "structure": program.structure,
        "result": program.result,
    }
    return listed


def digest(program: Program) -> str:
    """A name for what a program does: SHA-256 of its JSON without lines, 64 digits."""
    plain = as_json(program, lines=False)
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def program_of(found: Any) -> Program:
    """The program that plain data describes; its types are not checked yet.

    Raises:
        ProgramRefused: it describes none.
    """
    if type(found) is not dict or set(found) != _FIELDS:
        raise ProgramRefused(f"a program has the fields {', '.join(sorted(_FIELDS))}")
    inputs = _listed(found["inputs"], "inputs", _MOST_INPUTS)
    operations = _listed(found["operations"], "operations", MOST_OPERATIONS)
    guards = _listed(found["guards"], "guards", MOST_OPERATIONS)
    outputs = _listed(found["outputs"], "outputs", _MOST_INPUTS)
    result = found["result"]
    made = tuple(_operation_of(each) for each in operations)
    if sum(len(each.arguments) for each in made) > _MOST_ARGUMENTS:
        raise ProgramRefused(f"more than {_MOST_ARGUMENTS} arguments of operations")
    return Program(
        tuple(_input_of(each) for each in inputs),
        made,
        tuple(_guard_of(each) for each in guards),
        tuple(_output_of(each) for each in outputs),
        found["structure"],
        None if result is None else _whole(result, "result"),
    )


_FIELDS = frozenset(Program.__dataclass_fields__)


def _type_as(kind: TensorType | str) -> Any:
    return kind if isinstance(kind, str) else [kind.dtype, list(kind.shape)]


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return list(value) if isinstance(value, tuple) else value


def _listed(found: Any, what: str, most: int) -> list[Any]:
    if type(found) is not list:
        raise ProgramRefused(f"{what} is no list")
    if len(found) > most:
        raise ProgramRefused(f"{len(found)} {what}; at most {most}")
    return found


def _row(found: Any, what: str, length: int) -> list[Any]:
    if type(found) is not list or len(found) != length:
        raise ProgramRefused(f"{what} is no list of {length}")
    return found


def _whole(found: Any, what: str) -> int:
    if type(found) is not int or not 0 <= found < 1 << 53:
        raise ProgramRefused(f"{what} is no number of a value or size")
    return found


def _line_of(found: Any) -> int | None:
    return None if found is None else _whole(found, "line")


def _place_of(found: Any) -> Place:
    parts = _listed(found, "the parts of a place", _MOST_PLACE)
    for part in parts:
        if type(part) is str and len(part) <= _MOST_KEY:
            continue
        if type(part) is not int or abs(part) >= 1 << 53:
            raise ProgramRefused("a place is made of short texts and whole numbers")
    return tuple(parts)


def _input_of(found: Any) -> Input:
    place, kind = _row(found, "an input", 2)
    if type(kind) is str:
        if kind not in NUMBERS:
            raise ProgramRefused(f"an input is a number of no kind of {NUMBERS}")
        return Input(_place_of(place), kind)
    dtype, shape = _row(kind, "the type of a tensor", 2)
    if type(dtype) is not str:
        raise ProgramRefused("a dtype is no text")
    sizes = _listed(shape, "the sizes of a shape", 64)
    return Input(
        _place_of(place),
        TensorType(dtype, tuple(_whole(each, "a size") for each in sizes)),
    )


def _operation_of(found: Any) -> Operation:
    name, arguments, attributes, line = _row(found, "an operation", 4)
    if type(name) is not str:
        raise ProgramRefused("the name of an operation is no text")
    if type(attributes) is not dict:
        raise ProgramRefused("the attributes of an operation are no object")
    numbers = _listed(arguments, "the arguments of an operation", MOST_OPERATIONS)
    return Operation(
        name,
        tuple(_whole(each, "an argument") for each in numbers),
        {
            key: _ODD_NUMBERS.get(value, value) if type(value) is str else value
            for key, value in attributes.items()
        },
        _line_of(line),
    )


def _guard_of(found: Any) -> Guard:
    value, expected, line = _row(found, "a guard", 3)
    if type(expected) is not bool:
        raise ProgramRefused("a guard expects true or false")
    return Guard(_whole(value, "a guard's value"), expected, _line_of(line))


def _output_of(found: Any) -> Output:
    place, value = _row(found, "an output", 2)
    return Output(_place_of(place), _whole(value, "an output's value"))
