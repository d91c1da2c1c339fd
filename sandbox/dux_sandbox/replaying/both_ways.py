"""Whether a step is recorded with the branches of single parameters both ways."""

from collections import Counter
from collections.abc import Hashable

from dux_sandbox.recorded.program import Guard, Program
from dux_sandbox.replaying.branches import Branch, Path

_TOLD = 2
"""Programs of steps that begin alike, before branches are held to be what differs."""
_TRIES = 3


def is_both_ways(program: Program) -> bool:
    """Whether a program picks by what branches came out as."""
    return any(each.name in ("pick", "number.pick") for each in program.operations)


class BothWays:
    """What is known of one rule.

    Attributes:
        found: some program of it was recorded so; all others shall be, too.
    """

    def __init__(self) -> None:
        """Nothing yet."""
        self.found = False
        self._failed: Counter[Hashable] = Counter()

    def wanted(self, key: Hashable, programs: int) -> bool:
        """Whether to ask for it.

        Args:
            key: what the step begins with.
            programs: how many are known of steps that begin so.
        """
        few = self._failed[key] < _TRIES
        return few and (self.found or programs >= _TOLD)

    def failed(self, key: Hashable) -> None:
        """It was asked for, and the program has one way only."""
        self._failed[key] += 1


class Met:
    """What the guards of one step came out as, so far.

    Attributes:
        ruled_out: paths that do not hold.
        last: the guard that failed last.
        may_merge: programs with branches both ways may be asked for.
    """

    def __init__(self) -> None:
        """None yet."""
        self.ruled_out: list[Path] = []
        self.last: Guard | None = None
        self.may_merge = True
        # Programs with branches both ways have other guards.
        self._outcomes: dict[bool, list[bool]] = {False: [], True: []}

    def failed(self, branch: Branch, at: int) -> None:
        """This guard of a program does not hold; those before it do."""
        self.ruled_out.append(branch.path[: at + 1])
        self.last = branch.program.guards[at]
        told = [expected for _, expected in branch.path[:at]]
        told.append(not branch.path[at][1])
        known = self._outcomes[branch.both_ways]
        self._outcomes[branch.both_ways] = max(known, told, key=len)

    def outcomes(self, *, both_ways: bool) -> list[bool]:
        """What is known of the guards of a program of this kind, in their order."""
        return self._outcomes[both_ways]
