"""What a program means: its operations one after the other, in plain torch.

Whatever else runs a program gives what this gives; nothing is written here.
"""

from collections.abc import Sequence
from typing import Any

import torch

from dux_sandbox.recorded.operations import TABLE, apply
from dux_sandbox.recorded.program import Program


class GuardFailed(Exception):
    """The rule would have taken another branch than the one that was recorded.

    Attributes:
        index: of the guard in `Program.guards`; those before it held.
    """

    def __init__(self, index: int) -> None:
        self.index = index
        super().__init__(f"guard {index} does not hold")


def interpret(
    program: Program,
    inputs: Sequence[Any],
    device: torch.device | str = "cpu",
    *,
    done: Sequence[Sequence[int]] = (),
) -> list[Any]:
    """Run a program that was verified.

    Args:
        inputs: tensors and numbers, as `program.inputs` says; none is changed.
        device: where tensors are made that come of no other.
        done: for each operation, the values to let go of after it, for their memory;
            see `lifetimes.last_uses`.

    Returns:
        All values by their numbers, None in place of those that are `done`. Those that
        nothing after the guards needs are there, too; a tensor may be a view of another
        one, or an input.

    Raises:
        GuardFailed: a guard does not hold.
        ArithmeticError, ValueError: Python's numbers, as the rule would have met it.
        RuntimeError: torch, for values that an operation cannot take.
    """
    values: list[Any] = list(inputs)
    asked = {each.value: (at, each.expected) for at, each in enumerate(program.guards)}
    with torch.no_grad():
        for at in range(len(values)):
            _check(asked, values, at)
        for at, operation in enumerate(program.operations):
            row = TABLE[operation.name]
            arguments = [values[each] for each in operation.arguments]
            values.append(apply(row, arguments, operation.attributes, device))
            _check(asked, values, len(values) - 1)
            for each in done[at] if done else ():
                values[each] = None
    return values


def _check(asked: dict[int, tuple[int, bool]], values: list[Any], at: int) -> None:
    index, expected = asked.get(at, (0, None))
    if expected is not None and values[at] is not expected:
        raise GuardFailed(index)
