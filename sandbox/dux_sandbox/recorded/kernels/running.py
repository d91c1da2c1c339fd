"""A program as its kernels run it: the whole step, writes included."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from dux_sandbox.recorded.interpreting import GuardFailed, interpret
from dux_sandbox.recorded.kernels.chains import Chain
from dux_sandbox.recorded.kernels.layout import Layout
from dux_sandbox.recorded.kernels.library import Bound, Library
from dux_sandbox.recorded.kernels.numbers import Numbers, Work
from dux_sandbox.recorded.kernels.planning import Pass, Plan
from dux_sandbox.recorded.lifetimes import last_uses
from dux_sandbox.recorded.program import TensorType
from dux_sandbox.recorded.rows import DTYPES


@dataclass(frozen=True)
class _Ready:
    """A pass that can be called.

    Attributes:
        order: for each pointer, where in the table its tensor is.
        slots: for each number, where in the table it is.
        makes: values that need memory before, with shape and dtype.
    """

    bound: Bound
    order: tuple[int, ...]
    slots: tuple[int, ...]
    makes: tuple[tuple[int, tuple[int, ...], torch.dtype], ...]


class FusedProgram:
    """The step of one program on tensors in the CPU's memory.

    Attributes:
        finite: whether all that the last step wrote to parameters was finite.
    """

    def __init__(self, plan: Plan, libraries: Mapping[Chain, Library]) -> None:
        """Make it ready, with a library for each of `plan.chains`."""
        self.finite = True
        self._plan, self._program = plan, plan.program
        self._numbers = Numbers(plan)
        self._last = last_uses(self._program)
        self._work: Work | None = None
        self._slots: list[list[tuple[int, ...]]] = []
        self._pointers: list[int] = []
        self._passes = [
            [self._made_ready(each, libraries[each.chain]) for each in stage.passes]
            for stage in plan.stages
        ]
        places = {each.place: at for at, each in enumerate(self._program.inputs)}
        self._made: list[tuple[int, TensorType]] = []
        self._in_place: list[tuple[int, int]] = []
        for index, output in enumerate(self._program.outputs):
            kind, at = plan.types[output.value], places.get(output.place)
            if at is not None and plan.types[at] == kind:
                if isinstance(kind, TensorType):
                    self._in_place.append((index, at))
            elif isinstance(kind, TensorType):
                self._made.append((index, kind))
        self._at = [
            at
            for at, each in enumerate(self._program.inputs)
            if isinstance(each.type, TensorType)
        ]
        self._at += [self._program.values + index for index, _ in self._made]
        passing = [not self._is_held(at) for at in self._at]
        self._layout = Layout([self._kind(at) for at in self._at], passing)
        self._done_with = self._last_uses()

    def _is_held(self, at: int) -> bool:
        """Whether it is the same tensor step after step."""
        inputs = self._program.inputs
        return at < len(inputs) and inputs[at].place[0] != "gradient"

    def _kind(self, at: int) -> tuple[torch.dtype, torch.Size]:
        if at >= self._program.values:
            at = self._program.outputs[at - self._program.values].value
        kind = self._plan.types[at]
        assert isinstance(kind, TensorType)
        return DTYPES[kind.dtype], torch.Size(kind.shape)

    def _made_ready(self, one: Pass, library: Library) -> _Ready:
        bound = Bound(library, [each.elements for each in one.strands])
        leaves, kept = len(one.chain.leaves), {}
        for strand in one.strands:
            for value in strand.buffers[leaves:]:
                if value < self._program.values:
                    dtype, shape = self._kind(value)
                    kept[value] = (value, shape, dtype)
        return _Ready(
            bound,
            tuple(at for each in one.strands for at in each.buffers),
            tuple(at for each in one.strands for at in each.slots),
            tuple(kept.values()),
        )

    def _last_uses(self) -> list[list[int]]:
        """For each stage, the tensors that nothing needs after it."""
        plan, program = self._plan, self._program
        last: dict[int, int] = {}
        for stage, passes in enumerate(self._passes):
            for value in plan.stages[stage].plain:
                operation = program.operation_of(value)
                arguments = () if operation is None else operation.arguments
                last.update((each, stage) for each in (value, *arguments))
            for one in passes:
                last.update((each, stage) for each in one.order)
        kept = {program.outputs[index].value for index in plan.copies}
        ends: list[list[int]] = [[] for _ in plan.stages]
        for value, stage in last.items():
            is_made = len(program.inputs) <= value < program.values
            if is_made and value not in kept and value != program.result:
                if not isinstance(plan.types[value], str):
                    ends[stage].append(value)
        return ends

    def run(
        self,
        inputs: Sequence[Any],
        targets: Sequence[Any] = (),
        before: Callable[[list[Any]], None] | None = None,
    ) -> list[Any]:
        """Take the step: all writes, or, where it raises, none.

        Args:
            inputs: tensors and numbers, as `program.inputs` says. An output whose
                place is among them, with the same type, is written there.
            targets: for each output, the tensor that it is to be written to where no
                input is in its place, or None: a new one is made.
            before: called when all guards hold and nothing is written yet, with what
                will be returned; tensors hold what they held, or nothing. What it
                raises comes out.

        Returns:
            For each output, what its place holds now: a tensor or a number; and last
            what the step returns.

        Raises:
            GuardFailed: a guard does not hold.
            ArithmeticError, ValueError, RuntimeError: as `interpret`.
        """
        outputs: list[Any] = [None] * len(self._program.outputs)
        for index, at in self._in_place:
            outputs[index] = inputs[at]
        for index, kind in self._made:
            given = targets[index] if targets else None
            if given is None:
                given = torch.empty(kind.shape, dtype=DTYPES[kind.dtype])
            outputs[index] = given
        table = [*inputs, *[None] * len(self._program.operations), *outputs]
        if not self._layout.follow([table[at] for at in self._at]):
            return self._interpreted(inputs, outputs, before)
        try:
            with torch.no_grad():
                self._stages(inputs, table)
                if before is not None:
                    before(self._given(table, outputs))
                self._write(table)
        except (ArithmeticError, ValueError, RuntimeError, GuardFailed):
            # What the rule would have met comes first, and whether it does is for the
            # interpreter to say: a stage may be ahead of a guard.
            interpret(self._program, inputs, done=self._last)
            raise
        written = [each for each in outputs if each is not None]
        if written:
            torch.autograd.graph.increment_version(written)
        return self._given(table, outputs)

    def _stages(self, inputs: Sequence[Any], table: list[Any]) -> None:
        """All but the passes of the last stage: nothing that was there is written."""
        program, plan = self._program, self._plan
        work = self._work_for(inputs)
        for value, number in work.constants:
            table[value] = number
        self._pointers = pointers = [0] * len(table)
        for at, pointer in zip(self._at, self._layout.pointers, strict=True):
            pointers[at] = pointer
        for index, at in self._in_place:
            pointers[program.values + index] = pointers[at]
        end = len(plan.stages) - 1
        self.finite = True
        for stage, calls in enumerate(work.calls):
            for value, call, arguments in calls:
                table[value] = call(*[table[each] for each in arguments])
                if value in plan.laid_out:
                    pointers[value] = table[value].data_ptr()
            for index in plan.stages[stage].guards:
                guard = program.guards[index]
                if table[work.same[guard.value]] is not guard.expected:
                    raise GuardFailed(index)
            if stage < end:
                self._pass_all(stage, table)

    def _write(self, table: list[Any]) -> None:
        """The passes of the last stage."""
        for value in self._plan.cloned:
            table[value] = table[value].clone()
            self._pointers[value] = table[value].data_ptr()
        copies = [
            (index, table[self._program.outputs[index].value].clone())
            for index in self._plan.copies
        ]
        for index, made in copies:
            table[self._program.values + index].copy_(made)
        self._pass_all(len(self._passes) - 1, table)

    def _pass_all(self, stage: int, table: list[Any]) -> None:
        pointers = self._pointers
        for one, slots in zip(self._passes[stage], self._slots[stage], strict=True):
            for value, shape, dtype in one.makes:
                table[value] = made = torch.empty(shape, dtype=dtype)
                pointers[value] = made.data_ptr()
            one.bound.fill(
                [pointers[at] for at in one.order], [table[at] for at in slots]
            )
            self.finite &= one.bound.call()
        for value in self._done_with[stage]:
            table[value] = None

    def _work_for(self, inputs: Sequence[Any]) -> Work:
        work = self._numbers.work(inputs)
        if work is not self._work:
            self._work = work
            self._slots = [
                [tuple(work.same[at] for at in each.slots) for each in passes]
                for passes in self._passes
            ]
        return work

    def _given(self, table: list[Any], outputs: list[Any]) -> list[Any]:
        assert self._work is not None
        same = self._work.same
        made = [
            table[same[output.value]] if given is None else given
            for output, given in zip(self._program.outputs, outputs, strict=True)
        ]
        result = self._program.result
        return [*made, None if result is None else table[same[result]]]

    def _interpreted(
        self,
        inputs: Sequence[Any],
        outputs: list[Any],
        before: Callable[[list[Any]], None] | None,
    ) -> list[Any]:
        """The same in plain torch, for tensors that no kernel can work on."""
        given = [each for each in inputs if isinstance(each, torch.Tensor)]
        device = given[0].device if given else torch.device("cpu")
        values = interpret(self._program, inputs, device, done=self._last)
        made = [values[each.value] for each in self._program.outputs]
        made = [x.clone() if isinstance(x, torch.Tensor) else x for x in made]
        result = self._program.result
        returned = None if result is None else values[result]
        if before is not None:
            before([*made, returned])
        self.finite = True
        with torch.no_grad():
            for index, target in enumerate(outputs):
                if target is not None:
                    target.copy_(made[index])
                    if self._program.outputs[index].place[0] == "parameter":
                        self.finite &= bool(torch.isfinite(target).all())
                    made[index] = target
        return [*made, returned]
