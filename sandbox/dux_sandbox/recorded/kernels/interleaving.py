"""The end of a step in turns: numbers and draws of parameters between their passes.

`float(update.norm())` of each parameter is wanted by nobody else's writes, and a draw
by one parameter's alone. So what is read for a parameter is read just before it is
written, out of a cache, and one draw's memory serves the next. Nothing may be written
before it is sure that the step will be taken: only what cannot fail is done in between.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dux_sandbox.recorded.kernels.chains import Chain
from dux_sandbox.recorded.kernels.cones import Strand
from dux_sandbox.recorded.kernels.groups import Groups
from dux_sandbox.recorded.kernels.joining import TURN, WORTH, Stage, together
from dux_sandbox.recorded.kernels.never_raising import Conditions, is_sure_draw
from dux_sandbox.recorded.program import Program, TensorType, ValueType

_WHOLE, _LARGEST = ("int", "number"), 1e300
"""Numbers that may be larger than any float, and how large they may be."""
_Member = tuple[int, Chain | None, Strand | None, int]
"""A stage, and the strand with its chain, or the value that Python computes there."""


class Unsure(Exception):
    """A step may fail in its midst, and is to be taken in plain torch."""


@dataclass(frozen=True)
class Order:
    """Stages, and when they write.

    Attributes:
        writes_from: the stage before whose passes nothing is written, and after whose
            numbers nothing can fail.
        late: values of outputs that are there when all is done, and not before.
        conditions: under which nothing fails; None: under any.
        whole: numbers that must be of a size that a float has.
    """

    stages: tuple[Stage, ...]
    writes_from: int
    late: frozenset[int] = frozenset()
    conditions: Conditions | None = None
    whole: tuple[int, ...] = ()

    def require_sure(self, table: Sequence[Any], same: Sequence[int]) -> None:
        """Raise Unsure where something could fail once it is written.

        Args:
            table: the values that are there then.
            same: for each value, the first one that is equal to it.
        """
        if self.conditions is not None:
            asked = {each: table[same[each]] for each in self.conditions.least}
            whole = (abs(table[same[each]]) < _LARGEST for each in self.whole)
            if not (self.conditions.met(asked) and all(whole)):
                raise Unsure


class Interleaver:
    """The stages of one plan, put in turns."""

    def __init__(
        self,
        program: Program,
        types: Sequence[ValueType],
        stages: Sequence[Stage],
        memory: Callable[[int], int],
    ) -> None:
        """Of the stages of a plan.

        Args:
            memory: equal for buffers that are the same memory.
        """
        self._program, self._types = program, types
        self._stages, self._memory = list(stages), memory
        self._users: dict[int, list[int]] = {}
        for value in (each for stage in stages for each in stage.plain):
            for argument in self._arguments(value):
                self._users.setdefault(argument, []).append(value)

    def order(self) -> Order | None:
        """As many stages in turns as can be; None where it brings nothing."""
        for begin in range(len(self._stages)):
            found = self._from(begin)
            if found is not None:
                return found
        return None

    def _from(self, begin: int) -> Order | None:
        tail = self._stages[begin:]
        late = {value for stage in tail[1:] for value in stage.plain}
        draws = self._draws(begin)
        if any(stage.guards for stage in tail[1:]) or not late.isdisjoint(draws):
            return None
        reads = sum(bool(stage.passes) for stage in tail)
        conditions = Conditions(self._program, self._types, late)
        if not (reads > 1 or draws) or not all(map(conditions.hold, sorted(late))):
            return None
        given = {each.value for each in self._program.outputs}
        given |= {each.value for each in self._program.guards}
        if self._program.result is not None:
            given.add(self._program.result)
        if not late.isdisjoint(given):
            return None
        turns = self._turns(tail, late)
        if len(turns) < 2:
            return None
        return self._ordered(begin, turns, draws, conditions, given)

    def _arguments(self, value: int) -> tuple[int, ...]:
        operation = self._program.operation_of(value)
        return () if operation is None else operation.arguments

    def _draws(self, begin: int) -> set[int]:
        """The draws of a stage, and of those before it, that only later passes want."""
        before = [value for stage in self._stages[: begin + 1] for value in stage.plain]
        found = {value for value in before if is_sure_draw(self._program, value)}
        parts = {
            value
            for value in before
            if self._is_part(value) and found.issuperset(self._arguments(value))
        }
        early = {
            buffer
            for stage in self._stages[:begin]
            for one in stage.passes
            for strand in one.strands
            for buffer in strand.buffers
        }
        written = {each.value for each in self._program.outputs}
        found |= parts
        while True:
            held = {
                value
                for value in found
                if value in early
                or value == self._program.result
                or any(each not in found for each in self._users.get(value, ()))
                or not (self._is_part(value) or value not in written)
                or not found.issuperset(
                    each for each in self._arguments(value)[:1] if self._is_part(value)
                )
            }
            if not held:
                return found
            found -= held

    def _is_part(self, value: int) -> bool:
        operation = self._program.operation_of(value)
        return operation is not None and operation.name == "part"

    def _turns(self, tail: Sequence[Stage], late: set[int]) -> list[list[_Member]]:
        members: list[_Member] = []
        groups, made = Groups(), self._made(tail)
        size = 0
        for at, stage in enumerate(tail):
            for value in stage.plain if at else ():
                groups.join(len(members), [value, *self._shared(value, late)])
                members.append((at, None, None, value))
            for one in stage.passes:
                for strand in one.strands:
                    held = [self._memory(each) for each in self._held(strand, made)]
                    held += [each for each in strand.slots if each in late]
                    groups.join(len(members), held)
                    members.append((at, one.chain, strand, -1))
                    size += strand.elements
        turns: list[list[_Member]] = [[]]
        many = 0
        for group in groups.of(range(len(members))) if size >= WORTH else ():
            turns[-1] += [members[each] for each in group]
            strands = [members[each][2] for each in group]
            many += max(
                (each.elements for each in strands if each is not None), default=0
            )
            if many >= TURN:
                turns.append([])
                many = 0
        return [each for each in turns if each]

    def _shared(self, value: int, late: set[int]) -> list[int]:
        """What a late number is made of that not all may have."""
        inputs = len(self._program.inputs)
        given = [each for each in self._arguments(value) if each >= inputs]
        return [
            each
            for each in given
            if each in late or isinstance(self._types[each], TensorType)
        ]

    def _held(self, strand: Strand, made: set[int]) -> Iterable[int]:
        """The buffers of a strand for which it is brought beside another one: not a
        number for all that nobody writes."""
        for each in strand.buffers:
            kind = self._types[each] if each < self._program.values else None
            single = isinstance(kind, TensorType) and kind.elements == 1
            if not single or self._memory(each) in made:
                yield each

    def _made(self, tail: Sequence[Stage]) -> set[int]:
        """The memory that passes write to."""
        return {
            self._memory(buffer)
            for stage in tail
            for one in stage.passes
            for strand in one.strands
            for at, buffer in enumerate(strand.buffers)
            if at >= len(one.chain.leaves) or buffer >= self._program.values
        }

    def _ordered(
        self,
        begin: int,
        turns: Sequence[Sequence[_Member]],
        draws: set[int],
        conditions: Conditions,
        given: set[int],
    ) -> Order:
        wanted = self._first_wanted(turns, draws)
        made = [
            Stage(self._without(stage.plain, draws), stage.guards, stage.passes)
            for stage in self._stages[:begin]
        ]
        head = self._stages[begin]
        made.append(Stage(self._without(head.plain, draws), head.guards, ()))
        for turn, members in enumerate(turns):
            drawn = sorted(value for value in draws if wanted[value] == turn)
            for at in range(len(self._stages) - begin):
                here = [each for each in members if each[0] == at]
                plain = [value for _, chain, _, value in here if chain is None]
                passes = together(
                    [(x, y) for _, x, y, _ in here if x is not None and y is not None]
                )
                values = (*(drawn if at == 0 else ()), *plain)
                if values or passes:
                    made.append(Stage(values, (), passes))
        slots = {x for turn in turns for each in turn if each[2] for x in each[2].slots}
        asked = slots.union(*map(self._arguments, conditions.late)) - set(
            conditions.late
        )
        whole = tuple(sorted(x for x in asked if self._types[x] in _WHOLE))
        late = frozenset(given & draws)
        return Order(tuple(made), begin, late, conditions, whole)

    def _without(self, values: Iterable[int], others: set[int]) -> tuple[int, ...]:
        return tuple(value for value in values if value not in others)

    def _first_wanted(
        self, turns: Sequence[Sequence[_Member]], draws: set[int]
    ) -> Mapping[int, int]:
        """The turn in which each draw is to be there: what comes of it is later."""
        wanted = dict.fromkeys(draws, len(turns) - 1)
        for turn in reversed(range(len(turns))):
            for _, _, strand, _ in turns[turn]:
                for buffer in strand.buffers if strand is not None else ():
                    if buffer in draws:
                        wanted[buffer] = turn
        for value in sorted(draws, reverse=True):
            for each in self._arguments(value):
                if each in draws:
                    wanted[each] = min(wanted[each], wanted[value])
        return wanted
