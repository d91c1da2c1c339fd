"""The ways through one step, by the branches that hang on one parameter each."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dux_sandbox.recorded.forking import OF_PARAMETERS, Mark, Path
from dux_sandbox.recorded.numbering import Numbering
from dux_sandbox.recorded.program import Place, Program
from dux_sandbox.recorded.trees import renumbered

MOST_RUNS = 16
"""Recordings of one step, so also the paths of one parameter."""


class CannotMerge(Exception):
    """The branches of one parameter are not all that hangs on them, or too many."""


@dataclass(frozen=True)
class Run:
    """One recording.

    Attributes:
        program: every branch is a guard of it.
        marks: of each guard.
        calls: how often the closure was called.
    """

    program: Program
    marks: Sequence[Mark]
    calls: int


Record = Callable[[Mapping[int, Path]], Run]
"""Records the step with the branches of these parameters going so."""
Asked = tuple[int, bool, int | None]
"""A value that must be a boolean, that boolean, and the line."""


class Seen:
    """A run, its values numbered as those of all runs are."""

    def __init__(self, numbering: Numbering, run: Run) -> None:
        program = run.program
        self.calls = run.calls
        values = numbering.numbers_of(program)
        self.values = frozenset(values)
        self.result = None if program.result is None else values[program.result]
        self.outputs = {each.place: values[each.value] for each in program.outputs}
        # What is kept, with the places of its leaves in their stead.
        self.kept: list[Any] | None = None
        if program.structure is not None:
            self.kept = [self._leaves(part, values) for part in program.structure]
        self.paths: dict[int, Path] = {}
        self.forks: dict[int, list[tuple[int, int | None]]] = {}
        self.apart: dict[int, list[Asked]] = {}
        self.guards: list[Asked] = []
        for guard, mark in zip(program.guards, run.marks, strict=True):
            asked = values[guard.value], guard.expected, guard.line
            if mark.unit is None:
                self.guards.append(asked)
            elif mark.forks:
                path = self.paths.get(mark.unit, ())
                self.paths[mark.unit] = (*path, guard.expected)
                self.forks.setdefault(mark.unit, []).append((asked[0], guard.line))
            else:
                self.apart.setdefault(mark.unit, []).append(asked)

    def _leaves(self, part: Any, values: Sequence[int]) -> Any:
        place, tree = part
        count = itertools.count()

        def put(value: int) -> Place:
            leaf = (*place, "leaf", next(count))
            self.outputs[leaf] = values[value]
            return leaf

        return place, renumbered(tree, put)

    def of(self, unit: int) -> tuple[object, ...]:
        """All that may hang on the branches of one parameter."""
        mine = {
            place: value
            for place, value in self.outputs.items()
            if place[0] in OF_PARAMETERS and place[1] == unit
        }
        return mine, self.forks[unit], self.apart.get(unit, [])

    def shared(self) -> tuple[object, ...]:
        """All that must not hang on any."""
        others = {
            place: value
            for place, value in self.outputs.items()
            if place[0] not in OF_PARAMETERS or place[1] not in self.paths
        }
        asked = self.guards, set(self.paths)
        return others, asked, self.kept, self.result, self.calls


Leaves = dict[Path, Seen]


def explored(numbering: Numbering, record: Record, first: Seen) -> dict[int, Leaves]:
    """Each path of each parameter; all parameters take another one in each run."""
    leaves = {unit: {path: first} for unit, path in first.paths.items()}
    waiting = {unit: _turned(path, 0) for unit, path in first.paths.items()}
    runs = 1
    while any(waiting.values()):
        runs += 1
        if runs > MOST_RUNS:
            raise CannotMerge(f"more than {MOST_RUNS} ways through the step")
        asked = {unit: paths.pop() for unit, paths in waiting.items() if paths}
        seen = Seen(numbering, record({**first.paths, **asked}))
        _note(leaves, seen, first)
        for unit, path in asked.items():
            if seen.paths[unit][: len(path)] != path:
                raise CannotMerge("a branch is not asked again")
            waiting[unit] += _turned(seen.paths[unit], len(path))
    return leaves


def _turned(path: Path, known: int) -> list[Path]:
    """The paths that leave this one after its first `known` branches."""
    return [(*path[:at], not path[at]) for at in range(known, len(path))]


def _note(leaves: dict[int, Leaves], seen: Seen, first: Seen) -> None:
    if seen.shared() != first.shared():
        raise CannotMerge("the step hangs on the branches of single parameters")
    for unit, path in seen.paths.items():
        known = leaves[unit].setdefault(path, seen)
        if known.of(unit) != seen.of(unit):
            raise CannotMerge("a parameter hangs on the branches of another one")


def require_apart(
    numbering: Numbering, record: Record, first: Seen, leaves: dict[int, Leaves]
) -> None:
    """Mix the paths of different parameters: nothing else may come of it."""
    for turn in range(2):
        asked = {
            unit: list(paths)[(at + turn) % len(paths)]
            for at, (unit, paths) in enumerate(leaves.items())
        }
        seen = Seen(numbering, record(asked))
        if seen.paths != asked:
            raise CannotMerge("a parameter asks other than it did")
        _note(leaves, seen, first)
