"""What a rule does while it is recorded, written down as it happens."""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from dux_sandbox.recorded.asides import Asides
from dux_sandbox.recorded.forking import Forks, Mark
from dux_sandbox.recorded.program import (
    Guard,
    Input,
    Operation,
    Output,
    Place,
    Program,
    TensorType,
)
from dux_sandbox.recorded.trees import renumbered

MOST_RECORDED = 200_000


class Unrecordable(BaseException):
    """A line that no program can stand for; no `except` of a rule may go on after it.

    Attributes:
        message: what the line does.
        line: of the source, or None.
    """

    def __init__(self, message: str, line: int | None) -> None:
        self.message = message
        self.line = line
        super().__init__(message)


def line_of_rule() -> int | None:
    """The line of the source that is running, or None."""
    frame: Any = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_filename.startswith("<rule"):
            return int(frame.f_lineno)
        frame = frame.f_back
    return None


def _no_generator(_: Any, __: int) -> None:
    """Nobody draws of any."""


def rule_asks() -> bool:
    """Whether it is the source itself that asks, and no guard on its behalf."""
    frame: Any = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if code.co_filename.startswith("<rule"):
            return True
        if "/runtime/" in code.co_filename and code.co_name != "guarded_getattr":
            return False
        frame = frame.f_back
    return False


class Tape:
    """Numbers every value: inputs -1, -2, ... and operations 0, 1, ... until the end.

    Attributes:
        fault: the first thing that could not be written down, if any.
        outcomes: what guards that nothing is known of came out as, by their index.
        usual: what the last one came out as that was told, by the line and the
            operation that is asked; goes on from one recording to the next.
        seed_generator: called where a rule seeds a generator with a value.
        read_tensor: whether the values of any tensor have been asked for, since this
            was last set to False.
        marks: what each guard is, where branches are to be merged; see `merging`.
        asides: of the source.
    """

    def __init__(
        self,
        outcomes: Sequence[bool] = (),
        usual: dict[tuple[int | None, str], bool] | None = None,
        forks: Forks | None = None,
    ) -> None:
        self.usual = {} if usual is None else usual
        self.fault: Unrecordable | None = None
        self.outcomes = list(outcomes)
        self.read_tensor = False
        self.marks: list[Mark] = []
        self.asides = Asides()
        self._forks = forks
        self.seed_generator: Callable[[Any, int], None] = _no_generator
        self._inputs: dict[Place, int] = {}
        self._types: list[TensorType | str] = []
        self._operations: list[Operation] = []
        self._guards: list[Guard] = []
        self._known: dict[Any, int] = {}
        self._answers: dict[int, bool] = {}

    def refuse(self, message: str) -> Unrecordable:
        """What to raise where a line cannot be recorded; the first one counts."""
        refused = Unrecordable(message, line_of_rule())
        if self.fault is None:
            self.fault = refused
        return self.fault

    def read(self, place: Place, kind: TensorType | str) -> int:
        """The value that is in a place when the step begins."""
        if place not in self._inputs:
            self._inputs[place] = -len(self._types) - 1
            self._types.append(kind)
        if isinstance(kind, TensorType) and place != ("loss",):
            self.read_tensor = True
        return self._inputs[place]

    def emit(self, name: str, arguments: Iterable[int], **attributes: Any) -> int:
        """One operation more; gives the number of its value."""
        if len(self._operations) >= MOST_RECORDED:
            raise self.refuse(f"a step of more than {MOST_RECORDED} operations")
        self.read_tensor |= name == "item"
        self._operations.append(
            Operation(name, tuple(arguments), attributes, line_of_rule())
        )
        return len(self._operations) - 1

    def number(self, name: str, *arguments: int) -> int:
        """An operation on numbers; the same one on the same numbers is one value."""
        key = (name, arguments)
        if key not in self._known:
            self._known[key] = self.emit(name, arguments)
        return self._known[key]

    def comes_of(self, value: int, name: str) -> bool:
        """Whether a value is made of one that an operation of that name made."""
        before = self._operations[value].arguments if value >= 0 else ()
        return any(at >= 0 and self._operations[at].name == name for at in before)

    def _name_of(self, value: int) -> str:
        """The operation that makes a boolean, below what takes it out of a tensor."""
        while value >= 0:
            made = self._operations[value]
            if made.name not in ("item", "number.bool", "reshape"):
                return made.name
            (value,) = made.arguments
        return "input"

    def constant(self, value: float | int | bool) -> int:
        """The value of a number that never changes."""
        key = ("constant", type(value), repr(value))
        if key not in self._known:
            self._known[key] = self.emit("constant", (), value=value)
        return self._known[key]

    def guard(self, value: int, known: bool | None, guess: bool) -> bool:
        """What a boolean came out as; from now on the program is for that branch.

        Args:
            value: its number.
            known: what it is, where that is known now; else the trainer has told it,
                by the guard's index, or `guess` is taken.
        """
        if value in self._answers:
            return self._answers[value]
        if known is None:
            asked = (line_of_rule(), self._name_of(value))
            guess = self.usual.get(asked, guess)
        mark, index = Mark(), len(self._guards)
        if self._forks is not None:
            owner = self._forks.owner(value, self._inputs, self._operations)
            mark = self._forks.mark(owner, open=known is None)
            index = sum(not each.apart for each in self.marks)
        if self._forks is not None and mark.forks:
            known = self._forks.answer(mark, guess)
        elif known is None:
            known = guess
            if index < len(self.outcomes):
                known = self.usual[asked] = self.outcomes[index]
        self.marks.append(mark)
        # A value of its own, after all that the guards before it needed.
        own = self.emit("number.bool", (value,))
        self._guards.append(Guard(own, known, self._operations[own].line))
        self._answers[value] = known
        return known

    def program(
        self,
        outputs: Mapping[Place, int],
        structure: Any = None,
        leaves: Sequence[int] = (),
        result: int | None = None,
    ) -> Program:
        """The program, without what nothing needs.

        Args:
            outputs: the values that are put somewhere at the end.
            structure: as in `Program`, with numbers of this tape at its leaves.
            leaves: those numbers.
            result: the value that the step returns.
        """
        wanted = {*outputs.values(), *leaves, *(each.value for each in self._guards)}
        if result is not None:
            wanted.add(result)
        for at in reversed(range(len(self._operations))):
            if at in wanted:
                wanted.update(self._operations[at].arguments)
        inputs = [place for place, value in self._inputs.items() if value in wanted]
        kept = [at for at in range(len(self._operations)) if at in wanted]
        new = {self._inputs[place]: number for number, place in enumerate(inputs)}
        new |= {at: number for number, at in enumerate(kept, len(inputs))}
        return Program(
            tuple(
                Input(place, self._types[-self._inputs[place] - 1]) for place in inputs
            ),
            tuple(
                replace(each, arguments=tuple(new[one] for one in each.arguments))
                for each in map(self._operations.__getitem__, kept)
            ),
            tuple(replace(each, value=new[each.value]) for each in self._guards),
            tuple(Output(place, new[value]) for place, value in outputs.items()),
            None if structure is None else renumbered(structure, new.__getitem__),
            None if result is None else new[result],
        )
