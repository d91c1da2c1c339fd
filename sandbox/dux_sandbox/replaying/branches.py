"""The programs that were recorded so far, and which of them a step may be."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any

from dux_sandbox.recorded.program import Program, ValueType
from dux_sandbox.recorded.trees import leaves_of
from dux_sandbox.recorded.verifying import bytes_of
from dux_sandbox.replaying.fast_steps import FastStep
from dux_sandbox.replaying.new_trees import NewTree

MOST_PROGRAMS = 256
Path = tuple[tuple[int, bool], ...]


@dataclass(eq=False)
class Branch:
    """A verified program, ready to run.

    Attributes:
        types: of each value.
        calls: how often the rule called the closure.
        tree: what the rule keeps after it, where that is another tree; see `new_tree`.
        path: for each guard what it asks, as a number, and what it must come out as.
        run: gives the values for some inputs; see `interpreting.interpret`.
        fast: the same by kernels, once there are any.
        both_ways: see `both_ways`.
        taken: whether it has been a step.
    """

    program: Program
    types: tuple[ValueType, ...]
    calls: int
    tree: NewTree | None
    path: Path
    run: Any
    fast: FastStep
    both_ways: bool
    taken: bool = False


@dataclass(frozen=True)
class Recording:
    """What was recorded of one step, for any replay of the same rule and shapes.

    Attributes:
        key: what the step began with.
        program, types, calls, tree: see `Branch`.
    """

    key: Hashable
    program: Program
    types: tuple[ValueType, ...]
    calls: int
    tree: NewTree | None = None


def path_of(program: Program) -> Path:
    """What each guard asks; equal in two programs where the same is asked."""
    said: list[int] = [hash((each.place, each.type)) for each in program.inputs]
    for each in program.operations:
        attributes = tuple((key, str(value)) for key, value in each.attributes.items())
        arguments = tuple(said[at] for at in each.arguments)
        said.append(hash((each.name, attributes, arguments)))
    return tuple((said[guard.value], guard.expected) for guard in program.guards)


def kept_after(branch: Branch) -> int:
    """What the tensors take that a rule keeps after its first step, bytes."""
    leaves = set(leaves_of(branch.program.structure))
    return sum(bytes_of(branch.types[leaf]) for leaf in leaves)


@dataclass(frozen=True)
class Again:
    """The last step, which kernels took. Of another one that begins alike its program
    is the first that would be tried: it needs to be looked up nowhere.

    Attributes:
        key: what it began with, as for `Branches.candidates`.
        known: how many programs had been recorded.
        fast: its kernels.
    """

    key: tuple[Hashable, ...]
    known: int
    fast: FastStep

    def begins(self, key: tuple[Hashable, ...], known: int) -> bool:
        """Whether one that begins so begins alike."""
        return known == self.known and key == self.key


class Branches:
    """Programs by what a step begins with, those used last first.

    Attributes:
        count: how many there are.
        added: how many there were, those that had to go among them.
        taken: how many have been steps, those that had to go among them.
    """

    def __init__(self) -> None:
        """None yet."""
        self._by_key: OrderedDict[Hashable, list[Branch]] = OrderedDict()
        self.count = self.added = self.taken = 0

    def add(self, key: Hashable, branch: Branch) -> None:
        """One program more; the oldest goes where there are too many."""
        self._by_key.setdefault(key, []).insert(0, branch)
        self.count, self.added = self.count + 1, self.added + 1
        while self.count > MOST_PROGRAMS:
            oldest, branches = next(iter(self._by_key.items()))
            branches.pop()
            self.count -= 1
            if not branches:
                del self._by_key[oldest]

    def candidates(self, key: Hashable, ruled_out: list[Path]) -> Iterator[Branch]:
        """Those that may be the step, but for paths that were seen to be wrong.

        Args:
            ruled_out: paths that do not hold; grows while this goes on.
        """
        branches = self._by_key.get(key)
        if branches is None:
            return
        self._by_key.move_to_end(key)
        for branch in list(branches):
            if not ruled_out or not any(
                branch.path[: len(path)] == path for path in ruled_out
            ):
                yield branch

    def known(self, key: Hashable) -> int:
        """How many programs there are of steps that begin so."""
        return len(self._by_key.get(key, ()))

    def used(self, key: Hashable, branch: Branch) -> None:
        """It was the step: the next one is tried with it first."""
        self.taken += not branch.taken
        branch.taken = True
        branches = self._by_key[key]
        if branches[0] is not branch:
            branches.remove(branch)
            branches.insert(0, branch)

    def recordings(self) -> list[Recording]:
        """All of them, the oldest first."""
        return [
            Recording(key, each.program, each.types, each.calls, each.tree)
            for key, branches in self._by_key.items()
            for each in reversed(branches)
        ]

    @property
    def last(self) -> Branch:
        """The one that was used or added last, where there is any."""
        return self._by_key[next(reversed(self._by_key))][0]

    def by_key(self) -> dict[Hashable, list[Branch]]:
        """All of them, by what a step begins with; a copy."""
        return {key: list(branches) for key, branches in self._by_key.items()}

    def least_bytes(self) -> int | None:
        """What the last step reads and writes if it does so with each tensor once."""
        if not self._by_key:
            return None
        last = self.last
        read = [each.type for each in last.program.inputs]
        written = [last.types[each.value] for each in last.program.outputs]
        return sum(map(bytes_of, read + written))

    def __iter__(self) -> Iterator[Branch]:
        for branches in self._by_key.values():
            yield from branches
