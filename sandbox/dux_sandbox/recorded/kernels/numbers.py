"""Python's numbers of a step, each computed once however many parameters ask for it.

A rule counts the steps of each parameter, and corrects the bias of each anew. Where
the counts are equal, so is all that follows: which of them are is looked at in each
step, and the order of work is made once for each pattern.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from dux_sandbox.recorded.kernels.planning import Plan
from dux_sandbox.recorded.operations import TABLE, apply
from dux_sandbox.recorded.program import TensorType
from dux_sandbox.recorded.rows import DTYPES

Call = tuple[int, Callable[..., Any], tuple[int, ...]]
"""The value that it makes, how, and the values that it takes."""


@dataclass(frozen=True)
class Work:
    """What Python and torch do in a step, for one pattern of equal numbers.

    Attributes:
        constants: values that no step changes.
        calls: of each stage, in order.
        same: for each value, the first one that is equal to it.
    """

    constants: tuple[tuple[int, Any], ...]
    calls: tuple[tuple[Call, ...], ...]
    same: tuple[int, ...]


class Numbers:
    """The patterns of one plan that were met."""

    def __init__(self, plan: Plan) -> None:
        """Of a plan."""
        self._plan = plan
        self._places = [
            at
            for at, each in enumerate(plan.program.inputs)
            if isinstance(each.type, str)
        ]
        self._met: dict[tuple[int, ...], Work] = {}

    def work(self, inputs: Sequence[Any]) -> Work:
        """What is to be done for these inputs."""
        first: dict[Any, int] = {}
        pattern = tuple(
            [
                # 0.0 and -0.0 are equal, and what is made of them is not.
                first.setdefault((number.__class__, number), at) if number else at
                for at, number in [(at, inputs[at]) for at in self._places]
            ]
        )
        known = self._met.get(pattern)
        if known is None:
            if len(self._met) >= 64:
                self._met.clear()
            known = self._met[pattern] = self._new(pattern)
        return known

    def _new(self, pattern: tuple[int, ...]) -> Work:
        plan, program = self._plan, self._plan.program
        same = list(range(program.values))
        for at, first in zip(self._places, pattern, strict=True):
            same[at] = first
        constants: list[tuple[int, Any]] = []
        known: dict[Any, int] = {}
        calls: list[list[Call]] = [[] for _ in plan.stages]
        for stage, one in enumerate(plan.stages):
            for value in one.plain:
                operation = program.operation_of(value)
                assert operation is not None
                arguments = tuple(same[each] for each in operation.arguments)
                if isinstance(plan.types[value], str) and operation.name != "item":
                    number = operation.attributes.get("value")
                    key = (operation.name, arguments, type(number), repr(number))
                    same[value] = known.setdefault(key, value)
                    if same[value] != value:
                        continue
                if operation.name == "constant":
                    constants.append((value, operation.attributes["value"]))
                else:
                    calls[stage].append((value, self._call(value), arguments))
        made = tuple(tuple(each) for each in calls)
        return Work(tuple(constants), made, tuple(same))

    def _call(self, value: int) -> Callable[..., Any]:
        operation = self._plan.program.operation_of(value)
        assert operation is not None
        row, attributes = TABLE[operation.name], operation.attributes
        if row.room == "number" and not attributes:
            return row.meaning

        def call(*given: Any) -> Any:
            return apply(row, list(given), attributes, "cpu")

        if value not in self._plan.laid_out:
            return call
        kind = self._plan.types[value]
        assert isinstance(kind, TensorType)
        wanted = DTYPES[kind.dtype], torch.Size(kind.shape)

        def laid_out(*given: Any) -> torch.Tensor:
            made: torch.Tensor = call(*given).contiguous()
            # Kernels read as many bytes as the verified type has.
            if (made.dtype, made.shape) != wanted:
                raise RuntimeError(f"{operation.name} gives no {kind}")
            # A view of what the last stage writes would change under its readers.
            return made.clone() if row.room == "shape" else made

        return laid_out
