"""One pass of a step, bound to the places of its tensors and numbers in a table."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from dux_sandbox.recorded.kernels.chains import Chain
from dux_sandbox.recorded.kernels.joining import Pass
from dux_sandbox.recorded.kernels.kernel import Kernel
from dux_sandbox.recorded.kernels.layout import Kind
from dux_sandbox.recorded.kernels.picking import Pick, picked
from dux_sandbox.recorded.kernels.planning import Plan
from dux_sandbox.recorded.kernels.table import Table

_FEW = 1 << 14


class ReadyPass:
    """A pass that can be called.

    Attributes:
        buffers: for each pointer, the value or output that it is of.
        numbers: the values that are its numbers, row after row.
        bound: its kernel.
    """

    def __init__(
        self,
        one: Pass,
        kernel: Kernel,
        where: Callable[[int], int],
        held: frozenset[int],
        seen: frozenset[int],
        joins: bool,
        kind: Callable[[int], Kind],
        device: torch.device,
    ) -> None:
        """Make it ready.

        Args:
            where: the place in the table of a value or an output.
            held: the places whose tensors are there before the step.
            seen: values that torch works with.
            joins: whether large ones of these may be parts of one tensor, too.
            kind: of a value that is a tensor.
            device: where tensors are made.
        """
        self.buffers = [at for each in one.strands for at in each.buffers]
        self._strands = one.strands
        self.bound = kernel.bind(
            [each.elements for each in one.strands],
            [each.width for each in one.strands],
        )
        self._device = device
        places = [where(at) for at in self.buffers]
        self._order = picked(places)
        self._moves = not held.issuperset(places)
        self._moved = -1
        self.numbers: list[int] = []
        self._numbers: Pick = picked([])
        leaves = len(one.chain.leaves)
        made = dict.fromkeys(
            value
            for strand in one.strands
            for value in strand.buffers[leaves:]
            if where(value) not in held
        )
        alike: dict[Any, list[int]] = {}
        for value in made:
            dtype, shape = kind(value)
            wanted = value in seen
            few = _may_be_together(shape, large=wanted and joins)
            key = (dtype, shape, wanted, 0 if few else value)
            alike.setdefault(key, []).append(value)
        self._makes = [
            (values, dtype, (len(values), *shape), shape.numel() * dtype.itemsize, each)
            for (dtype, shape, each, _), values in alike.items()
        ]

    def share(self, same: Sequence[int]) -> None:
        """Bring the numbers of strands together that are equal.

        Args:
            same: for each value, the first one that is equal to it.
        """
        rows: dict[tuple[int, ...], int] = {}
        self.bound.share(
            [
                rows.setdefault(tuple(same[at] for at in each.slots), len(rows))
                for each in self._strands
            ]
        )
        self.numbers = [at for row in rows for at in row]
        self._numbers = picked(self.numbers)

    @property
    def makes(self) -> bool:
        """Whether it makes tensors."""
        return bool(self._makes)

    @property
    def finite(self) -> bool | torch.Tensor:
        """See `BoundKernel.finite`, of what it wrote to parameters."""
        return self.bound.finite

    def count(self, table: list[Any]) -> None:
        """Take its numbers out of a table.

        Raises:
            OverflowError: one is larger than any float.
        """
        self.bound.count_with(self._numbers(table))

    def count_with(self, numbers: Sequence[Any]) -> None:
        """Take them as they are. Raises as `count`."""
        self.bound.count_with(numbers)

    def call(self, table: list[Any], pointers: list[int], moves: int) -> None:
        """Do it, with the numbers that were counted last.

        Args:
            table: what it makes is put there; where only kernels want it, it is a
                part of what is put there, for as long as that is.
            pointers: of each tensor of the table.
            moves: how often a tensor that was there has moved so far.
        """
        for values, dtype, shape, size, is_seen in self._makes:
            made = torch.empty(shape, dtype=dtype, device=self._device)
            pointer = made.data_ptr()
            for value in values:
                table[value], pointers[value] = made, pointer
                pointer += size
            if is_seen:
                for value, each in zip(values, made.unbind(), strict=True):
                    table[value] = each
        if self._moves or self._moved != moves:
            self.point(pointers)
            self._moved = moves
        self.bound.call()

    def point(self, pointers: Sequence[int]) -> None:
        """Say which memory the next call works on, made or not."""
        self.bound.point(self._order(pointers))
        self._moved = -1


def _may_be_together(shape: torch.Size, *, large: bool) -> bool:
    """Whether results of this shape may be parts of one tensor: to ask for many takes
    its time. Kernels take several numbers at once from where these lie well."""
    many = shape.numel()
    return many == 1 or ((large or many <= _FEW) and many % 16 == 0)


def ready_passes(
    plan: Plan, kernels: Mapping[Chain, Kernel], table: Table
) -> list[list[ReadyPass]]:
    """The passes of each stage of a plan, bound to their places in a table."""
    ready = []
    copies = plan.program.values + len(table.made)
    seen, joins = plan.seen_by_torch, plan.target.side_by_side > 0
    for stage, each in enumerate(plan.stages):
        where = dict(table.where)
        if stage == len(plan.stages) - 1:
            where |= {value: copies + k for k, value in enumerate(plan.cloned)}

        def place(at: int, where: dict[int, int] = where) -> int:
            return where.get(at, at)

        bound = place, table.held, seen, joins, table.kind, plan.target.device
        ready.append([ReadyPass(x, kernels[x.chain], *bound) for x in each.passes])
    return ready


def last_stages(plan: Plan, ready: Sequence[Sequence[ReadyPass]]) -> list[list[int]]:
    """For each stage, the tensors that nothing needs after it."""
    program = plan.program
    last: dict[int, int] = {}
    for stage, passes in enumerate(ready):
        for value in plan.stages[stage].plain:
            operation = program.operation_of(value)
            arguments = () if operation is None else operation.arguments
            last.update((each, stage) for each in (value, *arguments))
        for one in passes:
            last.update((each, stage) for each in one.buffers)
    kept = {program.outputs[index].value for index in plan.copies}
    ends: list[list[int]] = [[] for _ in plan.stages]
    for value, stage in last.items():
        is_made = len(program.inputs) <= value < program.values
        if is_made and value not in kept and value != program.result:
            if not isinstance(plan.types[value], str):
                ends[stage].append(value)
    return ends
