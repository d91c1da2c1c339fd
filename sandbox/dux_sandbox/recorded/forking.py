"""Branches that hang on one parameter each, answered by a plan while one is recorded.

Such a branch is asked of what was computed of one parameter, its gradient and its
state; it may go another way for each of them. See `merging`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dux_sandbox.recorded.program import Operation, Place

Path = tuple[bool, ...]
"""What the branches of one parameter came out as, in the order of asking."""
OF_PARAMETERS = ("parameter", "gradient", "state")
_NONE, _MANY = -1, -2


@dataclass(frozen=True)
class Mark:
    """What a guard is.

    Attributes:
        unit: the index of the parameter that it hangs on, if it forks or comes after
            what forks for it.
        forks: it may go either way.
    """

    unit: int | None = None
    forks: bool = False

    @property
    def apart(self) -> bool:
        """Whether other branches of its parameter decide if it is asked."""
        return self.unit is not None


class Forks:
    """The branches of one recording.

    Attributes:
        taken: for each parameter that has any, the path that was taken.
    """

    def __init__(self, planned: Mapping[int, Path]) -> None:
        """Branches go as planned; beyond that as is usual."""
        self.taken: dict[int, list[bool]] = {}
        self._planned = planned
        self._owners: list[int] = []
        self._of_inputs: list[int] = []

    def owner(
        self, value: int, inputs: Mapping[Place, int], operations: Sequence[Operation]
    ) -> int | None:
        """The one parameter that a value of the tape hangs on, or None.

        What comes of many, as the norm of all, counts as of none: the gradient that
        was clipped by it is still its parameter's.
        """
        for place in list(inputs)[len(self._of_inputs) :]:
            of_one = place[0] in OF_PARAMETERS
            self._of_inputs.append(int(place[1]) if of_one else _NONE)
        for operation in operations[len(self._owners) :]:
            self._owners.append(shared([self._at(at) for at in operation.arguments]))
        found = self._at(value)
        return found if found >= 0 else None

    def _at(self, value: int) -> int:
        return self._owners[value] if value >= 0 else self._of_inputs[-value - 1]

    def mark(self, owner: int | None, *, open: bool) -> Mark:
        """What a guard on a value of this owner is.

        Args:
            open: nobody knows how it comes out.
        """
        if owner is None or not (open or owner in self.taken):
            return Mark()
        return Mark(owner, open)

    def answer(self, mark: Mark, usual: bool) -> bool:
        """Which way a branch that forks goes: the next one of its parameter."""
        assert mark.unit is not None
        taken = self.taken.setdefault(mark.unit, [])
        planned = self._planned.get(mark.unit, ())
        taken.append(planned[len(taken)] if len(taken) < len(planned) else usual)
        return taken[-1]


def shared(owners: Sequence[int]) -> int:
    """The owner of what is made of values with these owners; negative: no one."""
    one = {each for each in owners if each >= 0}
    if len(one) == 1:
        return one.pop()
    return _MANY if one or _MANY in owners else _NONE
