"""Operations that no kernel does, spelled in those that kernels do."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from dux_sandbox.recorded.kernels.fusing import types_of
from dux_sandbox.recorded.program import Operation, Program, TensorType, ValueType
from dux_sandbox.recorded.trees import renumbered

_STEP_BY_STEP = {"sum": "add", "mean": "add", "amax": "maximum", "amin": "minimum"}
_MOST_STACKED = 16


def spelled(program: Program) -> Program:
    """The same program, with deviations as norms of what is centred, and what is
    brought together of a few tensors that were stacked as one added to the next.

    Torch walks over a tensor once for a deviation, by one element after the other; to
    read it twice is several times faster, and as exact. A stack is another copy of all.
    """
    if not any(each.name in ("std", "var", "stack") for each in program.operations):
        return program
    types = types_of(program)
    writing = _Writing(len(program.inputs))
    for value, operation in enumerate(program.operations, len(program.inputs)):
        divisor = _divisor(operation, types)
        parts = _stacked(program, operation, types)
        given = tuple(writing.new[each] for each in operation.arguments)
        renamed = replace(operation, arguments=given)
        if parts is not None:
            parts = [writing.new[each] for each in parts]
            writing.new[value] = writing.together(renamed, parts)
        elif divisor is None:
            writing.new[value] = writing.do(renamed)
        else:
            writing.new[value] = writing.deviation(renamed, divisor)
    return with_operations(program, writing.operations, writing.new)


def with_operations(
    program: Program, operations: Iterable[Operation], new: Mapping[int, int]
) -> Program:
    """The same step by other operations; `new`: where each of its values is now."""
    return replace(
        program,
        operations=tuple(operations),
        guards=tuple(replace(each, value=new[each.value]) for each in program.guards),
        outputs=tuple(replace(each, value=new[each.value]) for each in program.outputs),
        structure=renumbered(program.structure, new.__getitem__),
        result=None if program.result is None else new[program.result],
    )


def _divisor(operation: Operation, types: tuple[ValueType, ...]) -> float | None:
    """What a sum of squares is divided by; None where the operation stays as it is."""
    if operation.name not in ("std", "var"):
        return None
    kind = types[operation.arguments[0]]
    assert isinstance(kind, TensorType)
    dims, correction = operation.attributes["dim"], operation.attributes["correction"]
    over = [kind.shape[each] for each in dims] if dims else list(kind.shape)
    left = math.prod(over) - (1 if correction is None else correction)
    # What is centred would be rounded in half precision.
    is_whole = kind.dtype in ("float32", "float64")
    return left if is_whole and left > 0 else None


def _stacked(
    program: Program, operation: Operation, types: tuple[ValueType, ...]
) -> list[int] | None:
    """The tensors that an operation brings together, if those were stacked for it."""
    if operation.name not in _STEP_BY_STEP or operation.attributes["keepdim"]:
        return None
    stack = program.operation_of(operation.arguments[0])
    if stack is None or stack.name != "stack":
        return None
    kind, dims = types[operation.arguments[0]], operation.attributes["dim"]
    assert isinstance(kind, TensorType)
    along = [each % len(kind.shape) for each in dims or ()]
    if along != [stack.attributes["dim"] % len(kind.shape)]:
        return None
    # In half precision torch adds up in single.
    is_whole = kind.dtype in ("float32", "float64")
    if not is_whole or operation.attributes.get("dtype") is not None:
        return None
    return list(stack.arguments) if 2 <= len(stack.arguments) <= _MOST_STACKED else None


class _Writing:
    """Operations written anew; `new` has the number of each value that was there."""

    def __init__(self, inputs: int) -> None:
        self._inputs = inputs
        self.operations: list[Operation] = []
        self.new: dict[int, int] = {at: at for at in range(inputs)}

    def do(self, operation: Operation) -> int:
        """Write it down; the number of its value."""
        self.operations.append(operation)
        return self._inputs + len(self.operations) - 1

    def together(self, asked: Operation, parts: list[int]) -> int:
        """The sum, mean or extreme of these, one after the other."""

        def do(name: str, *arguments: int, **attributes: Any) -> int:
            return self.do(Operation(name, arguments, attributes, asked.line))

        made, *others = parts
        if asked.name in ("sum", "mean"):
            made = do("add", made, do("constant", value=0))
        for each in others:
            made = do(_STEP_BY_STEP[asked.name], made, each)
        if asked.name == "mean":
            made = do("div", made, do("constant", value=len(parts)))
        return made

    def deviation(self, asked: Operation, divisor: float) -> int:
        """A standard deviation, or a variance."""
        (tensor,), line = asked.arguments, asked.line
        over = {"dim": asked.attributes["dim"], "dtype": None}

        def do(name: str, *arguments: int, **attributes: Any) -> int:
            return self.do(Operation(name, arguments, attributes, line))

        mean = do("mean", tensor, keepdim=True, **over)
        two = do("constant", value=2)
        keepdim = asked.attributes["keepdim"]
        norm = do("norm", do("sub", tensor, mean), two, keepdim=keepdim, **over)
        made = do("div", norm, do("constant", value=math.sqrt(divisor)))
        return made if asked.name == "std" else do("mul", made, made)
