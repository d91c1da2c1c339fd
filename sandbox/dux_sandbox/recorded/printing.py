"""A program as text: for `dux export --program`, for findings, and for reading."""

from collections.abc import Mapping
from typing import Any

from dux_sandbox.recorded.program import Operation, Place, Program, TensorType


def printed(program: Program) -> str:
    """One line for each input, operation, guard and output.

    >>> from dux_sandbox.recorded.program import Input, Operation, Output
    >>> weight = TensorType("float32", (3,))
    >>> print(printed(Program(
    ...     (Input(("parameter", 0), weight),),
    ...     (
    ...         Operation("constant", (), {"value": 0.5}),
    ...         Operation("mul", (0, 1), {}, 7),
    ...     ),
    ...     outputs=(Output(("parameter", 0), 2),),
    ... )))
    %0 = parameter[0]  # float32 (3,)
    %1 = 0.5
    %2 = mul(%0, %1)  # line 7
    parameter[0] <- %2
    """
    lines = [
        f"%{at} = {_place(each.place)}  # {_type(each.type)}"
        for at, each in enumerate(program.inputs)
    ]
    asked: dict[int, list[str]] = {}
    for guard in program.guards:
        said = f"guard %{guard.value} is {guard.expected}{_line(guard.line)}"
        asked.setdefault(guard.value, []).append(said)
    for at in range(len(program.inputs)):
        lines.extend(asked.get(at, ()))
    for at, operation in enumerate(program.operations, len(program.inputs)):
        lines.append(f"%{at} = {_operation(operation)}")
        lines.extend(asked.get(at, ()))
    lines.extend(f"{_place(each.place)} <- %{each.value}" for each in program.outputs)
    if program.structure is not None:
        lines.append("what the rule keeps has another structure after this step")
    if program.result is not None:
        lines.append(f"return %{program.result}")
    return "\n".join(lines)


def _operation(operation: Operation) -> str:
    if operation.name == "constant":
        return f"{operation.attributes['value']}{_line(operation.line)}"
    given = [f"%{each}" for each in operation.arguments]
    given += _named(operation.attributes)
    return f"{operation.name}({', '.join(given)}){_line(operation.line)}"


def _named(attributes: Mapping[str, Any]) -> list[str]:
    return [f"{name}={value}" for name, value in attributes.items()]


def _line(line: int | None) -> str:
    return "" if line is None else f"  # line {line}"


def _place(place: Place) -> str:
    first, *rest = place
    return str(first) + "".join(f"[{part!r}]" for part in rest)


def _type(kind: TensorType | str) -> str:
    return kind if isinstance(kind, str) else f"{kind.dtype} {kind.shape}"
