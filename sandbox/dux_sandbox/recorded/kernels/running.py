"""A program as its kernels run it: the whole step, writes included."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from dux_sandbox.recorded.interpreting import GuardFailed, interpret
from dux_sandbox.recorded.kernels.batches import append_clones, called
from dux_sandbox.recorded.kernels.captured_steps import CapturedSteps, captured_in
from dux_sandbox.recorded.kernels.capturing import Graphs
from dux_sandbox.recorded.kernels.chains import Chain
from dux_sandbox.recorded.kernels.counting import Count, Counting
from dux_sandbox.recorded.kernels.kernel import Kernel
from dux_sandbox.recorded.kernels.memory import Memory
from dux_sandbox.recorded.kernels.numbers import Numbers, Work, numbers_in
from dux_sandbox.recorded.kernels.passes import last_stages, ready_passes
from dux_sandbox.recorded.kernels.picking import Pick, picked
from dux_sandbox.recorded.kernels.plain_step import PlainStep
from dux_sandbox.recorded.kernels.planning import Plan
from dux_sandbox.recorded.kernels.table import Table
from dux_sandbox.recorded.lifetimes import last_uses


class FusedProgram:
    """The step of one program on tensors where its plan's target is; see `Table`.

    Attributes:
        replaced: indices of outputs that are no tensors written in place.
        captured: its steps on a device, as one call each; None: there are none.
    """

    def __init__(self, plan: Plan, kernels: Mapping[Chain, Kernel]) -> None:
        """Make it ready, with a kernel for each of `plan.chains`."""
        self._plan, self._program = plan, plan.program
        self._device, self._parts = plan.target.device, plan.parts
        self._interpreted_finite: list[Any] | None = None
        self.captured: CapturedSteps | None = None
        self._numbers = Numbers(plan)
        self._last = last_uses(self._program)
        self._work: Work | None = None
        self._give: Pick = picked([])
        self._count: Count | None = None
        program, values = plan.program, plan.program.values
        self._table = table = Table(plan)
        self._where, self._made = table.where, table.made
        self.replaced = [
            index
            for index in range(len(program.outputs))
            if self._where.get(values + index, values) >= values
        ]
        self._memory = Memory(table, self._device)
        self._moves = -1
        self._pointers = [0] * (values + len(self._made) + len(plan.cloned))
        self._passes = ready_passes(plan, kernels, table)
        self._counting = Counting(plan, self._passes)
        self._guards = [
            [
                (index, program.guards[index].value, program.guards[index].expected)
                for index in stage.guards
            ]
            for stage in plan.stages
        ]
        self._done_with = last_stages(plan, self._passes)
        self._wanted: Sequence[int] = range(plan.parts.outputs)
        self._written = picked(
            [
                self._where[values + index]
                for index, output in enumerate(program.outputs)
                if values + index in self._where
                and output.place[0] in ("parameter", "gradient")
            ]
        )
        self._calls_torch = bool(plan.copies or plan.cloned) or any(
            not isinstance(plan.types[value], str)
            for stage in plan.stages
            for value in stage.plain
        )

    @property
    def finite(self) -> bool | torch.Tensor:
        """See `BoundKernel.finite`, of all that the last step wrote to parameters."""
        seen = self._interpreted_finite
        told = [one.finite for one in self._passes[-1]] if seen is None else seen
        if self._device.type == "cpu" or not told:
            return all(map(bool, told))
        return torch.stack([torch.as_tensor(each) for each in told]).all()

    def give(self, outputs: Sequence[int]) -> None:
        """Return these outputs alone from `run`, by their indices; else it is all."""
        self._wanted, self._work = outputs, None
        self._counting.forget()

    def capture_in(self, graphs: Graphs) -> None:
        """Have steps captured where that may pay: not before some were taken."""
        given = self._passes, self._done_with, self._table.written
        self.captured = captured_in(graphs, self._plan, *given)

    def run(
        self,
        inputs: list[Any],
        targets: Sequence[Any] = (),
        before: Callable[[list[Any]], None] | None = None,
        stamp: int | None = None,
        moved: Callable[[], None] | None = None,
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
            stamp: equal to that of the last call only where the tensors that the rule
                keeps are the very same, and nobody else has them: these are not looked
                at then. None: they are.
            moved: called before anything is written, unless all tensors lie where they
                did in the call before; what it raises comes out.

        Returns:
            For each output that is wanted, what its place holds now: a tensor or a
            number; and last what the step returns.

        Raises:
            GuardFailed: a guard does not hold.
            NotDense: an input or a target is sparse, or shares memory with itself.
            ArithmeticError, ValueError, RuntimeError: as `interpret`.
        """
        inputs = self._parts.of(inputs) if self._parts.rows else inputs
        work = self._work_for(inputs)
        made = self._new(inputs, targets) if self._made else ()
        try:
            steady = self._numbers.steady(inputs, work)
            is_whole = self._count and not self._made
            table = inputs if is_whole else [*inputs, *steady, *made]
            lies_well = self._memory.follow(table, stamp)
            if moved and not (lies_well and self._memory.stays(self._moves)):
                moved()
            if lies_well and self._count:
                return self._take_counted(self._count, table, steady, before)
            if lies_well and self._calls_torch and torch.is_grad_enabled():
                with torch.no_grad():
                    self._take(table, before)
            elif lies_well:
                self._take(table, before)
        except (ArithmeticError, ValueError, RuntimeError, GuardFailed) as error:
            # What the rule would have met comes first, and whether it does is for the
            # interpreter to say: a stage may be ahead of a guard. The guards before all
            # stages are in order, and another program meets what comes before them.
            index = error.index if isinstance(error, GuardFailed) else None
            if index is None or index >= self._plan.leading:
                interpret(self._program, inputs, self._device, done=self._last)
            raise
        finally:
            self._memory.release()
        if not lies_well:
            return self._plainly(inputs, targets, before)
        torch.autograd.graph.increment_version(self._written(table))
        return self._given(table)

    def _new(self, inputs: Sequence[Any], targets: Sequence[Any]) -> list[Any]:
        """What outputs are written to that are in no input's place."""
        return [
            self._table.new(at, inputs)
            if not targets or targets[index] is None
            else targets[index]
            for at, index in self._made
        ]

    def _take_counted(
        self,
        count: Count,
        table: Sequence[Any],
        steady: Sequence[Any],
        before: Callable[[list[Any]], None] | None,
    ) -> list[Any]:
        """The step where only its numbers come before the passes of the last stage."""
        numbers, given = count(table, steady)
        passes = self._passes[-1]
        for one, each in zip(passes, numbers, strict=True):
            one.count_with(each)
        self._interpreted_finite = None
        self._moves = self._memory.find(self._pointers, self._moves)
        if before is not None:
            before(given)
        for one in passes:
            one.call([], self._pointers, self._moves)
        self._memory.put_back()
        torch.autograd.graph.increment_version(self._written(table))
        return given

    def _take(
        self, table: list[Any], before: Callable[[list[Any]], None] | None
    ) -> None:
        """All stages; only the last one's passes write to what was there, and when they
        begin no number is left that they cannot take."""
        plan, work = self._plan, self._work
        assert work is not None
        self._moves = self._memory.find(self._pointers, self._moves)
        end, self._interpreted_finite = len(plan.stages) - 1, None
        graphs, lies = self.captured, (self._memory, self._pointers)
        if graphs is not None and graphs.take(work, table, *lies, before, self._given):
            return
        for stage, calls in enumerate(work.calls):
            asked, tensors = work.items[stage]
            if asked:
                numbers = numbers_in(tensors(table))
                for value, number in zip(asked, numbers, strict=True):
                    table[value] = number
            called(calls, table, self._pointers, plan.laid_out)
            for index, value, expected in self._guards[stage]:
                if table[work.same[value]] is not expected:
                    raise GuardFailed(index)
            for one in self._passes[stage]:
                one.count(table)
            if stage == end:
                self._write_copies(table, before)
            self._pass_all(stage, table)
        self._memory.put_back()
        if graphs is not None:
            graphs.compare(table)

    def _write_copies(
        self, table: list[Any], before: Callable[[list[Any]], None] | None
    ) -> None:
        """What outputs are that torch makes; what passes write over and want yet is
        copied."""
        plan, program = self._plan, self._program
        if before is not None:
            before(self._given(table))
        append_clones(plan.cloned, table, self._pointers)
        made = [table[program.outputs[index].value].clone() for index in plan.copies]
        for index, copied in zip(plan.copies, made, strict=True):
            table[self._where[program.values + index]].copy_(copied)

    def _pass_all(self, stage: int, table: list[Any]) -> None:
        for one in self._passes[stage]:
            one.call(table, self._pointers, self._moves)
        for value in self._done_with[stage]:
            table[value] = None

    def _work_for(self, inputs: Sequence[Any]) -> Work:
        work = self._numbers.work(inputs)
        if work is not self._work:
            self._work = work
            for one in (each for passes in self._passes for each in passes):
                one.share(work.same)
            values, program = self._program.values, self._program
            given = [
                self._where.get(values + at, work.same[program.outputs[at].value])
                for at in self._wanted
            ]
            given += [] if program.result is None else [work.same[program.result]]
            self._give = picked(given)
            self._count = self._counting.of(work, given)
        return work

    def _given(self, table: Sequence[Any]) -> list[Any]:
        given = list(self._give(table))
        return given if self._program.result is not None else [*given, None]

    def _plainly(
        self,
        inputs: Sequence[Any],
        targets: Sequence[Any],
        before: Callable[[list[Any]], None] | None,
    ) -> list[Any]:
        """The same in plain torch, for tensors that no kernel can work on."""
        step = PlainStep(self._program, inputs, self._device, self._last, targets)
        if before is not None:
            before(step.given(self._wanted))
        first, many = self._program.values, len(self._program.outputs)
        places = [self._where.get(at) for at in range(first, first + many)]
        self._interpreted_finite = step.write(places)
        return step.given(self._wanted)
