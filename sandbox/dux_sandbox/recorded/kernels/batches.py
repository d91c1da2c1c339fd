"""Products of matrices of one shape as one call: a device has room for several at once.

One product of a few thousand rows leaves most of a large device idle, and each call
takes some time of the host.
"""

from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any

import torch

from dux_sandbox.recorded.kernels.mirrored import turned
from dux_sandbox.recorded.kernels.picking import Pick, picked
from dux_sandbox.recorded.kernels.planning import Plan
from dux_sandbox.recorded.program import TensorType
from dux_sandbox.recorded.rows import DTYPES

Call = tuple[int | tuple[int, ...], Callable[..., Any], Pick]
"""The value that it makes, or several; how; and which values it takes."""


def called(
    calls: Sequence[Call], table: list[Any], pointers: list[int], laid_out: Set[int]
) -> None:
    """Make values, in order.

    Args:
        table: what they are taken from, and put into.
        pointers: told where those lie that kernels work with.
        laid_out: see `Plan.laid_out`.
    """
    for makes, call, arguments in calls:
        made = call(*arguments(table))
        if isinstance(makes, int):
            table[makes] = made
            if makes in laid_out:
                pointers[makes] = made.data_ptr()
        else:
            for value, each in zip(makes, made, strict=True):
                table[value], pointers[value] = each, each.data_ptr()


def append_clones(values: Sequence[int], table: list[Any], pointers: list[int]) -> None:
    """Copy values that one strand writes over and another reads; see `Plan.cloned`."""
    for value in values:
        table.append(table[value].clone(memory_format=torch.contiguous_format))
        pointers[len(table) - 1] = table[-1].data_ptr()


class Batches:
    """Which products of a plan can be one."""

    def __init__(self, plan: Plan) -> None:
        """Of a plan."""
        self._plan = plan
        self._alone = set(range(len(plan.program.inputs)))
        for value in (each for stage in plan.stages for each in stage.plain):
            if not self._is_product(value):
                self._alone.add(value)

    def together(
        self, calls: Sequence[Call], given: Mapping[int, tuple[int, ...]]
    ) -> list[Call]:
        """The calls of a stage, with products of equal shapes brought together.

        Args:
            calls: each makes one value.
            given: the arguments of each.
        """
        levels: dict[int, int] = {}
        by_value: dict[int, Call] = {}
        for call in calls:
            value = call[0]
            assert isinstance(value, int)
            by_value[value] = call
            before = [levels.get(each, 0) for each in given[value]]
            levels[value] = 1 + max(before, default=0)
        alike: dict[Any, list[int]] = {}
        # None of a level hangs on another one, and all hang on lower levels alone.
        for value in sorted(by_value, key=lambda value: levels[value]):
            kind = self._kind(value, given[value])
            alike.setdefault((levels[value], kind or value), []).append(value)
        made: list[Call] = []
        for values in alike.values():
            if len(values) == 1:
                made.append(by_value[values[0]])
            else:
                order = [given[value][side] for side in (0, 1) for value in values]
                products = _products(self._plan, values[0])
                made.append((tuple(values), products, picked(order)))
        return made

    def _is_product(self, value: int) -> bool:
        operation = self._plan.program.operation_of(value)
        return operation is not None and operation.name == "mm"

    def _kind(self, value: int, sides: tuple[int, ...]) -> tuple[Any, ...] | None:
        """Equal for products whose sides are parts of one tensor each: what lies by
        itself would be copied, and what lies otherwise, too."""
        if not self._is_product(value):
            return None
        plan = self._plan
        wholes = [turned(plan.program, each) for each in sides]
        found = zip(wholes, sides, strict=True)
        if not self._alone.isdisjoint(x if one is None else one for one, x in found):
            return None
        return *(plan.types[each] for each in sides), *(x is None for x in wholes)


def _products(plan: Plan, value: int) -> Callable[..., tuple[torch.Tensor, ...]]:
    """Products of which a value is one, of all left sides, then all right sides."""
    kind = plan.types[value]
    assert isinstance(kind, TensorType)
    wanted = DTYPES[kind.dtype], torch.Size(kind.shape)

    def products(*sides: torch.Tensor) -> tuple[torch.Tensor, ...]:
        many = len(sides) // 2
        made = torch.bmm(side_by_side(sides[:many]), side_by_side(sides[many:]))
        if (made.dtype, made.shape[1:]) != wanted:
            raise RuntimeError(f"mm gives no {kind}")
        return made.unbind()

    return products


def side_by_side(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    """Tensors of one shape as one with a dimension more: that which they are parts of.

    >>> whole = torch.zeros(3, 2, 2)
    >>> side_by_side([each.t() for each in whole.unbind()])._base is whole
    True
    """
    first, second = tensors[0], tensors[1]
    whole, strides, begin = first._base, first.stride(), first.storage_offset()
    step = second.storage_offset() - begin
    if whole is None or step <= 0:
        return torch.stack(list(tensors))
    for at, each in enumerate(tensors):
        is_part = each._base is whole and each.stride() == strides
        if not is_part or each.storage_offset() != begin + at * step:
            return torch.stack(list(tensors))
    return whole.as_strided((len(tensors), *first.shape), (step, *strides), begin)
