"""Operations that no kernel does, spelled in those that kernels do."""

import math
from dataclasses import replace
from typing import Any

from dux_sandbox.recorded.kernels.fusing import types_of
from dux_sandbox.recorded.program import Operation, Program, TensorType, ValueType
from dux_sandbox.recorded.trees import renumbered


def spelled(program: Program) -> Program:
    """The same program, with deviations as norms of what is centred.

    Torch walks over a tensor once for these, by one element after the other; to read it
    twice is several times faster, and as exact.
    """
    if not any(each.name in ("std", "var") for each in program.operations):
        return program
    types = types_of(program)
    writing = _Writing(len(program.inputs))
    for value, operation in enumerate(program.operations, len(program.inputs)):
        divisor = _divisor(operation, types)
        given = tuple(writing.new[each] for each in operation.arguments)
        renamed = replace(operation, arguments=given)
        if divisor is None:
            writing.new[value] = writing.do(renamed)
        else:
            writing.new[value] = writing.deviation(renamed, divisor)
    new = writing.new
    return replace(
        program,
        operations=tuple(writing.operations),
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
