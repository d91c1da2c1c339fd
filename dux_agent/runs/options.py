"""What one option of a run is, for the table in `dux_agent.runs.plan`.

Everything that knows an option (the command line and its help, `train`, `run.json`,
resume, replay, the table in docs/tasks.md) reads it from its line there.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from dux_agent.errors import BadArgument


@dataclass(frozen=True)
class Option:
    """One line of the table, but for its name, its type and its default.

    Attributes:
        help: what it is, in a sentence.
        attach: the argument of `dux_agent.attach` that gets its value, where it is
            called otherwise there.
        least, most: of a number.
        choices: the words that it may be.
        unset: what is done where it is None.
        read: makes the value of what a person wrote, on the command line or in code;
            raises BadArgument. What it made before it takes too.
        many: it may be given several times on the command line.
        called: on the command line, where that is another name.
    """

    help: str
    attach: str = ""
    least: float | None = None
    most: float | None = None
    choices: tuple[str, ...] = ()
    unset: str = ""
    read: Callable[[Any], Any] | None = None
    many: bool = False
    called: str = ""


def option(default: Any, help: str, **more: Any) -> Any:
    """A field of the table with its `Option`."""
    return field(default=default, metadata={"option": Option(help, **more)})


@dataclass(frozen=True)
class Line:
    """An option with everything that its line says.

    Attributes:
        kinds: the types that its value may be of.
        default: its value where it is left out.
    """

    name: str
    kinds: tuple[type, ...]
    default: Any
    option: Option

    @property
    def flag(self) -> str:
        """What it is called on the command line."""
        return "--" + (self.option.called or self.name).replace("_", "-")

    def checked(self, given: Any) -> Any:
        """`given` as the plan holds it.

        Raises:
            BadArgument: it is no value of this option.
        """
        option = self.option
        try:
            value = given if option.read is None else option.read(given)
        except (TypeError, OverflowError):
            raise self._refused(given, "a value of another kind was wanted") from None
        if type(value) is int and float in self.kinds and int not in self.kinds:
            try:
                value = float(value)
            except OverflowError:
                raise self._refused(given, "a smaller number was wanted") from None
        # A bool is an int in Python and no number of anything here.
        fits = isinstance(value, self.kinds)
        if not fits or (isinstance(value, bool) and bool not in self.kinds):
            kinds = " or ".join(kind.__name__ for kind in self.kinds)
            raise self._refused(given, f"a value of the type {kinds} was wanted")
        if option.choices and value not in option.choices:
            words = ", ".join(map(repr, option.choices))
            raise self._refused(given, f"one of {words} was wanted")
        number = isinstance(value, (int, float))
        if number and option.least is not None and not value >= option.least:
            raise self._refused(given, f"it must be >= {option.least}")
        if number and option.most is not None and not value <= option.most:
            raise self._refused(given, f"it must be <= {option.most}")
        return value

    def _refused(self, given: Any, wanted: str) -> BadArgument:
        return BadArgument(
            f"{self.name} is {_shown(given)}; {wanted}; pass such a value, or leave it "
            f"out for {self.option.unset or repr(self.default)}."
        )


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


def _kinds(hint: Any) -> tuple[type, ...]:
    """`int | None` as two types, `dict[str, float]` as one."""
    several = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    return tuple(get_origin(each) or each for each in several)


@cache
def lines(table: type[Any]) -> Mapping[str, Line]:
    """The lines of a table, a dataclass, by name and in order."""
    hints = get_type_hints(table)
    return {
        each.name: Line(
            each.name, _kinds(hints[each.name]), each.default, each.metadata["option"]
        )
        for each in fields(table)
        if "option" in each.metadata
    }
