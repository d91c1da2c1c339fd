"""A program cut into stages: numbers and torch's calls, then passes of kernels.

Element-wise values are not kept: each pass computes anew what it needs from what is in
memory, since reading is what costs. So a norm of gradients is one pass that only reads,
and all writes are one pass at the end, after the guards.
"""

from collections import defaultdict
from dataclasses import dataclass, replace
from itertools import takewhile

from dux_sandbox.recorded.kernels.chains import Chain
from dux_sandbox.recorded.kernels.cones import Cones, Root
from dux_sandbox.recorded.kernels.fusing import (
    DTYPES_OF_KERNELS,
    forms_of,
    reshaped_by_kernels,
    types_of,
)
from dux_sandbox.recorded.kernels.joining import Stage, joined, together
from dux_sandbox.recorded.kernels.parting import Parts, parted
from dux_sandbox.recorded.kernels.ranking import by_ranks
from dux_sandbox.recorded.kernels.rows_apart import row_widths
from dux_sandbox.recorded.kernels.spelling import spelled
from dux_sandbox.recorded.kernels.targets import CPU, Target
from dux_sandbox.recorded.kernels.turns import LARGE, Turn
from dux_sandbox.recorded.program import Program, TensorType, ValueType


@dataclass(frozen=True)
class Plan:
    """A whole step.

    Attributes:
        types: of each value.
        stages: in order; the writes of the last one are the step's.
        leading: how many guards ask for numbers that hang on no tensor, before any
            other does: the first stage asks these, and nothing else.
        copies: indices of tensor outputs that no pass writes.
        cloned: inputs, of one element or one for each row, that are copied before the
            last stage's passes, since one strand writes what another reads.
        laid_out: values that torch makes and kernels read, or the other way round.
        target: what its kernels are made for.
        parts: how its inputs come of those of the program that it is the plan of.
    """

    program: Program
    types: tuple[ValueType, ...]
    stages: tuple[Stage, ...]
    leading: int
    copies: tuple[int, ...]
    cloned: tuple[int, ...]
    laid_out: frozenset[int]
    target: Target
    parts: Parts

    @property
    def chains(self) -> tuple[Chain, ...]:
        """All kernels, each once."""
        found = [each.chain for stage in self.stages for each in stage.passes]
        return tuple(dict.fromkeys(found))

    @property
    def seen_by_torch(self) -> frozenset[int]:
        """The values that torch works with, or that leave the step."""
        seen = {self.program.outputs[index].value for index in self.copies}
        seen |= set() if self.program.result is None else {self.program.result}
        for value in (each for stage in self.stages for each in stage.plain):
            operation = self.program.operation_of(value)
            seen.update(() if operation is None else operation.arguments)
        return frozenset(seen)


def plan_of(program: Program, target: Target = CPU) -> Plan:
    """The plan of a program that was verified, on tensors where `target` is.

    Raises:
        CannotCompile: it would take too long to make.
    """
    cut, parts = parted(by_ranks(program))
    return _Planner(spelled(cut), target).plan(parts)


class _Planner:
    def __init__(self, program: Program, target: Target) -> None:
        self._program = program
        self._target = target
        self._types = types_of(program)
        self._ready: list[int] = []
        self._turn = Turn(target.side_by_side)
        self._kept: dict[int, int] = {}
        self._needed = self._what_is_needed()
        self._leading, self._asked_first = self._what_leads()
        widths = row_widths(program, self._types)
        self._widths = widths or {}
        self._fused, self._gathered = forms_of(
            program, self._types, self._needed, target, by_rows=widths is not None
        )
        self._reshaped = reshaped_by_kernels(
            program, self._types, self._needed, {*self._fused, *self._gathered}
        )
        for value in range(program.values):
            self._ready.append(self._place(value))

    def _what_is_needed(self) -> set[int]:
        program = self._program
        waiting = [each.value for each in program.outputs]
        waiting += [each.value for each in program.guards]
        waiting += [] if program.result is None else [program.result]
        # Python's numbers are all computed: one that cannot be ends the step.
        for value in range(len(program.inputs), program.values):
            if isinstance(self._types[value], str):
                waiting.append(value)
        return self._all_for(waiting)

    def _all_for(self, values: list[int]) -> set[int]:
        """These values, and all that they are made of."""
        needed: set[int] = set()
        while values:
            value = values.pop()
            if value not in needed:
                needed.add(value)
                operation = self._program.operation_of(value)
                values += operation.arguments if operation is not None else ()
        return needed

    def _what_leads(self) -> tuple[int, tuple[int, ...]]:
        """How many guards hang on no tensor before one does, and what is asked then."""
        program = self._program
        free: set[int] = set()
        for value, kind in enumerate(self._types):
            operation = program.operation_of(value)
            given = () if operation is None else operation.arguments
            if isinstance(kind, str) and free.issuperset(given):
                free.add(value)
        leading = list(takewhile(lambda each: each.value in free, program.guards))
        asked = self._all_for([each.value for each in leading])
        return len(leading), tuple(sorted(asked - set(range(len(program.inputs)))))

    def _place(self, value: int) -> int:
        """The stage in which a value can be had."""
        operation = self._program.operation_of(value)
        if operation is None or value not in self._needed:
            return 0
        if value in self._reshaped:
            return self._ready[self._reshaped[value]]
        if value in self._fused:
            return max(
                (self._at_hand(x, value) for x in operation.arguments), default=0
            )
        gathered = self._gathered.get(value)
        if gathered is not None:
            of = operation.arguments[: 2 if gathered.first == "mul" else 1]
            return max(self._ready[each] for each in of) + 1
        ready = max((self._in_memory(each) for each in operation.arguments), default=0)
        kinds = [self._types[each] for each in (value, *operation.arguments)]
        sizes = [each.elements for each in kinds if isinstance(each, TensorType)]
        largest = max(sizes, default=0)
        return self._turn.place(ready, largest) if largest >= LARGE else ready

    def _at_hand(self, argument: int, value: int) -> int:
        """The stage in which a kernel has an argument of what it makes: one that goes
        with it by rows is read from memory."""
        one, made = self._types[argument], self._types[value]
        if isinstance(one, TensorType) and isinstance(made, TensorType):
            if 1 < one.elements < made.elements:
                return self._in_memory(self._reshaped.get(argument, argument))
        return self._ready[argument]

    def _in_memory(self, value: int) -> int:
        """The stage in which a value is in memory, for torch to see."""
        if value not in self._fused:
            return self._ready[value]
        self._kept[value] = self._ready[value]
        return self._ready[value] + 1

    def plan(self, parts: Parts) -> Plan:
        """The stages, one after the other."""
        program = self._program
        if program.result is not None:
            self._in_memory(program.result)
        asked = [self._ready[each.value] for each in program.guards]
        written = [self._ready[each.value] for each in program.outputs]
        seen = [self._ready[value] for value in self._needed]
        after = [at + 1 for at in self._kept.values()]
        last = max([0, *asked, *written, *seen, *after])
        known = (self._fused, self._kept, self._reshaped, self._widths)
        cones = Cones(program, self._types, *known)
        stages: list[Stage] = []
        if self._leading:
            asked_first = tuple(range(self._leading))
            stages.append(Stage(self._asked_first, asked_first, ()))
        writes, copies = self._writes()
        kept, plain, guards = self._roots(cones), self._plain(), self._guards()
        for stage in range(last + 1):
            roots = kept[stage] + (writes if stage == last else [])
            passes = together(cones.strands(roots, stage))
            stages.append(Stage(tuple(plain[stage]), tuple(guards[stage]), passes))
        cloned, laid_out = self._read_by(stages)
        return Plan(
            program,
            self._types,
            self._joined(stages, cones),
            self._leading,
            copies,
            cloned,
            laid_out,
            self._target,
            parts,
        )

    def _joined(self, stages: list[Stage], cones: Cones) -> tuple[Stage, ...]:
        """As many of the last stages as one as have nothing to be done between them."""
        last = len(stages) - 1
        first = last
        while first and not (stages[first].plain or stages[first].guards):
            first -= 1
        for begin in range(first, last) if self._target.in_turns else ():
            passes = joined([each.passes for each in stages[begin:]], cones.written_by)
            if passes is not None:
                return (*stages[:begin], replace(stages[begin], passes=passes))
        return tuple(stages)

    def _roots(self, cones: Cones) -> dict[int, list[Root]]:
        """By stage, what must be in memory before the next one."""
        kept: dict[int, list[Root]] = defaultdict(list)
        for value, at in self._kept.items():
            kept[at].append(Root(value))
        for value, gathered in self._gathered.items():
            source, *others = cones.arguments(value)
            other = others[0] if gathered.first == "mul" else None
            root = Root(source, gathered=gathered, made=value, other=other)
            kept[self._ready[value] - 1].append(root)
        return kept

    def _writes(self) -> tuple[list[Root], tuple[int, ...]]:
        """The outputs that kernels write, and the others that are tensors."""
        roots, copies = [], []
        for index, output in enumerate(self._program.outputs):
            kind = self._types[output.value]
            if not isinstance(kind, TensorType):
                continue
            if kind.dtype in DTYPES_OF_KERNELS and kind.elements:
                value = self._reshaped.get(output.value, output.value)
                roots.append(Root(value, output=index))
            else:
                copies.append(index)
        return roots, tuple(copies)

    def _plain(self) -> dict[int, list[int]]:
        """By stage, the values that Python and torch compute."""
        others = {*self._fused, *self._gathered, *self._reshaped, *self._asked_first}
        plain: dict[int, list[int]] = defaultdict(list)
        for value in range(len(self._program.inputs), self._program.values):
            if value in self._needed and value not in others:
                plain[self._ready[value]].append(value)
        return plain

    def _guards(self) -> dict[int, list[int]]:
        """By stage, the guards that are not asked before all stages."""
        guards: dict[int, list[int]] = defaultdict(list)
        for index, guard in enumerate(self._program.guards):
            if index >= self._leading:
                guards[self._ready[guard.value]].append(index)
        return guards

    def _read_by(self, stages: list[Stage]) -> tuple[tuple[int, ...], frozenset[int]]:
        """Values that kernels read: inputs to be cloned, and what torch makes."""
        program = self._program
        places = {each.place for each in program.outputs}
        cloned, laid_out = [], []
        for stage in stages:
            for strand in (each for one in stage.passes for each in one.strands):
                for value in strand.buffers:
                    if value >= program.values or not isinstance(
                        self._types[value], TensorType
                    ):
                        continue
                    if value >= len(program.inputs):
                        laid_out.append(value)
                    elif stage is stages[-1]:
                        if program.inputs[value].place in places:
                            cloned.append(value)
        return tuple(dict.fromkeys(cloned)), frozenset(laid_out)
