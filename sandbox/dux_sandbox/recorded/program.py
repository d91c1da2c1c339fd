"""The program of one step: typed, in single assignment, with its writes at the end."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Place = tuple[str | int, ...]
"""Where a value lives: ("parameter", 3), ("state", 3, "m"), ("option", 0, "lr")."""

NUMBERS = ("float", "int", "bool")


@dataclass(frozen=True)
class TensorType:
    """A tensor's dtype, as torch names it without "torch.", and its shape."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        """How many elements it has.

        >>> TensorType("float32", (2, 3)).elements
        6
        """
        return math.prod(self.shape)


@dataclass(frozen=True)
class TupleType:
    """The tensors that one operation gives together."""

    parts: tuple[TensorType, ...]


ValueType = TensorType | TupleType | str


@dataclass(frozen=True)
class Input:
    """A value that is there before the step: a tensor, or one of `NUMBERS`."""

    place: Place
    type: TensorType | str


@dataclass(frozen=True)
class Operation:
    """One row of `operations.TABLE` applied to earlier values.

    Attributes:
        arguments: numbers of values.
        attributes: plain data that is the same at every step: dimensions, dtypes.
        line: of the source, for whoever reads the program.
    """

    name: str
    arguments: tuple[int, ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)
    line: int | None = None


@dataclass(frozen=True)
class Guard:
    """The boolean that a value must be for the program to be the rule's step.

    Each guard has a value of its own, later than that of the guard before it.
    """

    value: int
    expected: bool
    line: int | None = None


@dataclass(frozen=True)
class Output:
    """A value that is put in a place at the end of the step."""

    place: Place
    value: int


@dataclass(frozen=True)
class Program:
    """What one step does.

    Attributes:
        inputs: values that it reads.
        operations: in the order in which the rule did them.
        guards: in the order in which the rule asked.
        outputs: what it writes when all guards hold.
        structure: None while the step changes nothing but values; else all that the
            rule keeps after it, each leaf the number of a value.
        result: the value that the step returns, or None.
    """

    inputs: tuple[Input, ...]
    operations: tuple[Operation, ...]
    guards: tuple[Guard, ...] = ()
    outputs: tuple[Output, ...] = ()
    structure: Any = None
    result: int | None = None

    @property
    def values(self) -> int:
        """How many values it has, inputs included."""
        return len(self.inputs) + len(self.operations)

    def operation_of(self, value: int) -> Operation | None:
        """The operation that makes a value; None for an input."""
        at = value - len(self.inputs)
        return self.operations[at] if at >= 0 else None
