"""A branch for each parameter, recorded both ways and merged into one program.

`if g.norm() > 1: g = g / g.norm()` goes either way for every parameter, and each
pattern would be a program of its own. So a step is recorded a few times, all parameters
on another path each time, and then twice more with the paths mixed: what a step does to
a parameter and what it keeps of it must hang on that parameter's own branches, and
nothing else on any. Both ways are then computed, and what is written is picked by what
was asked; a number on the way not taken is computed of ones, so that it never fails.
"""

from collections.abc import Mapping, Sequence

from dux_sandbox.recorded.exploring import (
    Asked,
    CannotMerge,
    Leaves,
    Record,
    Run,
    Seen,
    explored,
    require_apart,
)
from dux_sandbox.recorded.forking import OF_PARAMETERS, Mark, Path
from dux_sandbox.recorded.number_operations import NEVER_FAIL
from dux_sandbox.recorded.numbering import Numbering
from dux_sandbox.recorded.operations import TABLE
from dux_sandbox.recorded.program import (
    Guard,
    Operation,
    Place,
    TensorType,
)
from dux_sandbox.recorded.trees import renumbered

_SAFE = NEVER_FAIL | {"ranked", "item", "constant"}
"""The operations on numbers that never raise."""
_PRODUCTS = frozenset(
    "mm bmm mv dot addmm addmv addbmm baddbmm trace vdot addr".split()
)


def merged(record: Record, kinds: Mapping[Place, TensorType | str]) -> Run:
    """One program for all outcomes of the branches of single parameters.

    Args:
        record: what it raises comes out.
        kinds: the type of each place of a parameter.

    Returns:
        The program, which has one way where no branch hangs on one parameter.

    Raises:
        CannotMerge: it would not be the rule's step.
    """
    numbering, run = Numbering(), record({})
    first = Seen(numbering, run)
    if not first.paths:
        return run
    leaves = explored(numbering, record, first)
    require_apart(numbering, record, first, leaves)
    return _Weaver(numbering, leaves, first).woven(kinds)


class _Tree:
    """The paths of one parameter, as what decides between values."""

    def __init__(self, unit: int, leaves: Leaves, numbering: Numbering) -> None:
        self.unit = unit
        self.leaves = leaves
        self._numbering = numbering

    def places(self) -> list[Place]:
        """All that is written of the parameter on any path."""
        written = [place for seen in self.leaves.values() for place in seen.outputs]
        mine = [x for x in written if x[0] in OF_PARAMETERS and x[1] == self.unit]
        return list(dict.fromkeys(mine))

    def picked(
        self,
        sound: Mapping[int, int],
        by_path: Mapping[Path, int],
        other: int,
        before: int | None = None,
        prefix: Path = (),
    ) -> int:
        """The value of the path that is taken.

        Args:
            sound: see `_Weaver`.
            by_path: the value on some paths.
            other: on all others.
            before: decide only by what was asked before this value was computed; where
                that does not tell the paths apart, those of `by_path` count.
            prefix: the branches that were decided.
        """
        under = [each for each in self.leaves if each[: len(prefix)] == prefix]
        values = {by_path.get(each, other) for each in under}
        if len(values) == 1:
            return values.pop()
        asked, line = self._asked(under, len(prefix))
        if before is not None and asked >= before:
            return next(by_path[each] for each in under if each in by_path)
        yes = self.picked(sound, by_path, other, before, (*prefix, True))
        no = self.picked(sound, by_path, other, before, (*prefix, False))
        if yes == no:
            return yes
        kinds = [self._numbering.kind(each) for each in (yes, no)]
        numbers = [isinstance(each, str) for each in kinds]
        if numbers[0] != numbers[1] or (not numbers[0] and kinds[0] != kinds[1]):
            raise CannotMerge("a branch decides what kind of value is kept")
        name = "number.pick" if numbers[0] else "pick"
        return self._numbering.add(name, (sound[asked], yes, no), {}, line)

    def _asked(self, under: Sequence[Path], at: int) -> tuple[int, int | None]:
        found = {self.leaves[each].forks[self.unit][at] for each in under}
        if len(found) > 1:
            raise CannotMerge("a branch asks other than it did")
        return found.pop()


class _Weaver:
    """The merged program in the making: each value as it is computed on all paths."""

    def __init__(
        self, numbering: Numbering, leaves: dict[int, Leaves], first: Seen
    ) -> None:
        self._numbering = numbering
        self._first = first
        self._trees = {
            unit: _Tree(unit, paths, numbering) for unit, paths in leaves.items()
        }
        self._sound: dict[int, int] = {}
        for value in range(numbering.count):
            self._sound[value] = self._made_sound(value)

    def woven(self, kinds: Mapping[Place, TensorType | str]) -> Run:
        """The program; its guards are those that do not fork."""
        first, sound = self._first, self._sound
        outputs = {
            place: sound[value]
            for place, value in first.outputs.items()
            if place[0] not in OF_PARAMETERS or place[1] not in self._trees
        }
        guards = [
            Guard(sound[at], expected, line) for at, expected, line in first.guards
        ]
        for tree in self._trees.values():
            for place in tree.places():
                written = {
                    path: sound[seen.outputs[place]]
                    for path, seen in tree.leaves.items()
                    if place in seen.outputs
                }
                other = next(iter(written.values()))
                if len(written) < len(tree.leaves):
                    other = self._numbering.input(place, kinds[place])
                outputs[place] = tree.picked(sound, written, other)
            guards += self._guards(tree)
        result = None if first.result is None else sound[first.result]
        structure = first.kept
        if structure is not None:
            kept = dict(outputs)
            structure = [
                [place, renumbered(tree, kept.pop)] for place, tree in structure
            ]
            outputs = kept
        # What comes out alike of several parameters is one value, asked once.
        asked: dict[int, Guard] = {}
        for each in guards:
            first_asked = asked.setdefault(each.value, each)
            if first_asked.expected is not each.expected:
                raise CannotMerge("one question was taken to have two answers")
        guards = list(asked.values())
        program = self._numbering.program(guards, outputs, result, structure)
        return Run(program, [Mark()] * len(guards), first.calls)

    def _guards(self, tree: _Tree) -> list[Guard]:
        """What is asked on some paths only; it holds where another one is taken."""
        paths: dict[Asked, dict[Path, int]] = {}
        for path, seen in tree.leaves.items():
            for asked in seen.apart.get(tree.unit, []):
                paths.setdefault(asked, {})[path] = self._sound[asked[0]]
        guards = []
        for (_, expected, line), by_path in paths.items():
            other = self._numbering.constant(expected)
            picked = tree.picked(self._sound, by_path, other)
            own = self._numbering.add("number.bool", (picked,), {}, line)
            guards.append(Guard(own, expected, line))
        return guards

    def _made_sound(self, value: int) -> int:
        """A value that can be computed whatever path is taken.

        Raises:
            CannotMerge: it may fail where its path is not taken.
        """
        operation = self._numbering.operation(value)
        if operation is None:
            return value
        arguments = tuple(self._sound[each] for each in operation.arguments)
        tree = self._trees.get(self._numbering.owner(value))
        if tree is not None:
            on = [path for path, seen in tree.leaves.items() if value in seen.values]
            if len(on) < len(tree.leaves):
                arguments = self._safe(operation, value, arguments, tree, on)
        attributes, line = operation.attributes, operation.line
        return self._numbering.add(operation.name, arguments, attributes, line)

    def _safe(
        self,
        operation: Operation,
        value: int,
        arguments: tuple[int, ...],
        tree: _Tree,
        on: Sequence[Path],
    ) -> tuple[int, ...]:
        """What an operation of some paths is given: ones on the others, if need be."""
        name, row = operation.name, TABLE[operation.name]
        if row.room == "matrix" and name not in _PRODUCTS or "index" in name:
            raise CannotMerge(f"{name} may fail where its path is not taken")
        if row.room != "number" or name.removeprefix("number.") in _SAFE:
            return arguments
        return tuple(
            tree.picked(
                self._sound, dict.fromkeys(on, each), self._one(each), before=value
            )
            for each in arguments
        )

    def _one(self, value: int) -> int:
        is_whole = self._numbering.kind(value) in ("int", "bool")
        return self._numbering.constant(1 if is_whole else 1.0)
