"""Python's numbers of a step, each computed once however many parameters ask for it.

A rule counts the steps of each parameter, and corrects the bias of each anew. Where
the counts are equal, so is all that follows: which of them are is looked at in each
step, and the order of work is made once for each pattern.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import is_
from typing import Any

import torch

from dux_sandbox.recorded.kernels.batches import Batches, Call
from dux_sandbox.recorded.kernels.mirrored import is_mirrored, mirrored
from dux_sandbox.recorded.kernels.picking import Pick, picked
from dux_sandbox.recorded.kernels.planning import Plan
from dux_sandbox.recorded.kernels.ranking import is_quick_median
from dux_sandbox.recorded.number_operations import unbounded
from dux_sandbox.recorded.operations import TABLE, prepared
from dux_sandbox.recorded.operations_of_ranks import median
from dux_sandbox.recorded.program import TensorType
from dux_sandbox.recorded.rows import DTYPES

_VIEWS = frozenset(
    """transpose permute reshape expand unsqueeze squeeze select slice diagonal bits
    part unfold pick""".split()
)
"""The operations that may give a part of what they are given, in its memory."""
_FEW = 1 << 14
"""Numbers that are had together because one of them is asked for."""


def numbers_in(tensors: Sequence[torch.Tensor]) -> list[Any]:
    """The number in each tensor of one element; a device is waited for once a dtype.

    Kernels make results together, as parts of one tensor: that is looked at whole.

    >>> parts = torch.arange(3).unbind()
    >>> numbers_in([parts[2], torch.tensor(1.5), torch.tensor([True]), parts[0]])
    [2, 1.5, True, 0]
    """
    begins: dict[tuple[torch.dtype, int], int] = {}
    wholes: dict[torch.dtype, list[torch.Tensor]] = {}
    counts: dict[torch.dtype, int] = {}
    places = []
    for each in tensors:
        whole, dtype = _whole_of(each), each.dtype
        key = dtype, id(whole)
        if key not in begins:
            begins[key] = counts.get(dtype, 0)
            counts[dtype] = begins[key] + whole.numel()
            wholes.setdefault(dtype, []).append(whole.reshape(-1))
        at = begins[key] + each.storage_offset() - whole.storage_offset()
        places.append((dtype, at))
    found = {dtype: torch.cat(many).tolist() for dtype, many in wholes.items()}
    return [found[dtype][at] for dtype, at in places]


def _whole_of(part: torch.Tensor) -> torch.Tensor:
    """The tensor of few elements that it is a part of; else itself."""
    whole = part._base
    is_whole = (
        whole is not None
        and whole.dtype == part.dtype
        and whole.numel() <= _FEW
        and whole.is_contiguous()
    )
    return whole if whole is not None and is_whole else part


@dataclass(frozen=True)
class Work:
    """What Python and torch do in a step, for one pattern of equal numbers.

    Attributes:
        blank: all values but inputs: those that no step changes, and None.
        steady: calls for what is the same until an option is another one.
        items: of each stage, the numbers in tensors that are asked for at once before
            all calls, and what takes these tensors.
        calls: the others of each stage, in order.
        given: of each call that is not steady, which values it takes.
        same: for each value, the first one that is equal to it.
        merged: takes the inputs that are equal to an earlier one, out of all.
        first: takes those earlier ones.
    """

    blank: list[Any]
    steady: tuple[Call, ...]
    items: tuple[tuple[tuple[int, ...], Pick], ...]
    calls: tuple[tuple[Call, ...], ...]
    given: Mapping[int, tuple[int, ...]]
    same: tuple[int, ...]
    merged: Pick
    first: Pick


class Numbers:
    """The patterns of one plan that were met."""

    def __init__(self, plan: Plan) -> None:
        """Of a plan."""
        self._plan, self._batches = plan, Batches(plan)
        self._places = [
            at
            for at, each in enumerate(plan.program.inputs)
            if isinstance(each.type, str)
        ]
        inputs = plan.program.inputs
        self._places_written = written = {x.place for x in plan.program.outputs}
        # An option that the rule itself writes is another one in every step.
        self._options = [
            at
            for at in self._places
            if inputs[at].place[0] == "option" and inputs[at].place not in written
        ]
        self._pick_options = picked(self._options)
        self._met: dict[tuple[int, ...], Work] = {}
        self._last: Work | None = None
        self._seen: tuple[Work | None, Sequence[Any], list[Any]] = (None, (), [])

    def steady(self, inputs: Sequence[Any], work: Work) -> list[Any]:
        """The values after the inputs that no step changes; None for the others.

        Args:
            work: for these inputs.

        Returns:
            The same list until an option is another one.

        Raises:
            ArithmeticError, ValueError: Python, for a number that cannot be.
        """
        options = self._pick_options(inputs)
        known, seen, made = self._seen
        if known is work and all(map(is_, options, seen)):
            return made
        table = [*inputs, *work.blank]
        for value, call, arguments in work.steady:
            assert isinstance(value, int)
            table[value] = call(*arguments(table))
        made = table[len(inputs) :]
        self._seen = work, options, made
        return made

    def work(self, inputs: Sequence[Any]) -> Work:
        """What is to be done for these inputs."""
        last = self._last
        # A step leaves one number where it has found equal ones.
        if last is None or not all(map(is_, last.merged(inputs), last.first(inputs))):
            self._last = last = self._of(inputs)
        return last

    def _of(self, inputs: Sequence[Any]) -> Work:
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
        blank: list[Any] = [None] * len(program.operations)
        known: dict[Any, int] = {}
        calls: list[list[Call]] = [[] for _ in plan.stages]
        given: dict[int, tuple[int, ...]] = {}
        steady: list[Call] = []
        steadies = set(self._options)
        items = self._items(same)
        together = {value for values, _ in items for value in values}
        for stage, one in enumerate(plan.stages):
            for value in one.plain:
                if value in together:
                    continue
                operation = program.operation_of(value)
                assert operation is not None
                arguments = tuple(same[each] for each in operation.arguments)
                if isinstance(plan.types[value], str) and operation.name != "item":
                    said = repr(sorted(operation.attributes.items()))
                    key = (operation.name, arguments, said)
                    same[value] = known.setdefault(key, value)
                    if same[value] != value:
                        continue
                if operation.name == "constant":
                    constant = operation.attributes["value"]
                    blank[value - len(program.inputs)] = constant
                    steadies.add(value)
                    continue
                call = (value, self._call(value), picked(arguments))
                if operation.name.startswith("number.") and steadies.issuperset(
                    arguments
                ):
                    steadies.add(value)
                    steady.append(call)
                else:
                    calls[stage].append(call)
                    given[value] = arguments
        if plan.target.side_by_side:
            calls = [self._batches.together(each, given) for each in calls]
        made = tuple(tuple(each) for each in calls)
        merged = [at for at in self._places if same[at] != at]
        earlier = picked([same[at] for at in merged])
        steadily, all_same = tuple(steady), tuple(same)
        taken = picked(merged)
        return Work(blank, steadily, items, made, given, all_same, taken, earlier)

    def _items(self, same: list[int]) -> tuple[tuple[tuple[int, ...], Pick], ...]:
        """See `Work.items`: those of tensors that are there before the stage."""
        program, found = self._plan.program, []
        for one in self._plan.stages if self._plan.target.waits else ():
            here, asked = set(one.plain), {}
            for value in one.plain:
                operation = program.operation_of(value)
                if operation is not None and operation.name == "item":
                    (tensor,) = operation.arguments
                    if tensor not in here:
                        asked[value] = same[tensor]
            found.append((tuple(asked), picked(list(asked.values()))))
        return tuple(found) or (((), picked([])),) * len(self._plan.stages)

    def _is_view(self, value: int) -> bool:
        """Whether it may lie in the memory of an input that the step writes."""
        program, waiting = self._plan.program, [value]
        while waiting:
            value = waiting.pop()
            operation = program.operation_of(value)
            if (
                operation is None
                and program.inputs[value].place in self._places_written
            ):
                return True
            if operation is not None and operation.name in _VIEWS:
                waiting += operation.arguments
        return False

    def _call(self, value: int) -> Callable[..., Any]:
        operation = self._plan.program.operation_of(value)
        assert operation is not None
        row = TABLE[operation.name]
        call = prepared(row, operation.attributes, self._plan.target.device)
        if self._plan.target.device.type == "cpu":
            program, types = self._plan.program, self._plan.types
            if is_mirrored(program, types, value):
                call = mirrored
            if is_quick_median(program, types, value):
                call = median
        if row.room == "number" and self._plan.types[value] == "float":
            return unbounded(call)
        if value not in self._plan.laid_out:
            return call
        kind = self._plan.types[value]
        assert isinstance(kind, TensorType)
        wanted = DTYPES[kind.dtype], torch.Size(kind.shape)

        is_view = self._is_view(value)

        def laid_out(*given: Any) -> torch.Tensor:
            found: torch.Tensor = call(*given)
            made = found.contiguous()
            # Kernels read as many bytes as the verified type has.
            if (made.dtype, made.shape) != wanted:
                raise RuntimeError(f"{operation.name} gives no {kind}")
            # A view of what the last stage writes would change under its readers.
            return made.clone() if is_view and made is found else made

        return laid_out
