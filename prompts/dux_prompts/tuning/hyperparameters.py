"""One hyperparameter: its type and range, what is wrong with a value, its scale."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

When = Mapping[str, tuple[Any, ...]]
"""Another hyperparameter's name -> the values of it with which this one is used."""

DIGITS = 4
"""Significant digits of what is shown and of what a rule proposes."""


class SpaceError(ValueError):
    """A space that cannot be meant."""


@dataclass(frozen=True)
class Number:
    """A number in a range.

    Attributes:
        whole: an int, else a float.
        low, high: the ends, both allowed.
        log: equal distances are equal ratios.
        step: distance of two values from `low` on; None: any value.
        default: what is used where nobody thinks about it; None: not known.
        when: with which values of others it is used; empty: always.
    """

    whole: bool
    low: float
    high: float
    log: bool = False
    step: float | None = None
    default: float | None = None
    when: When = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("low", "high", "default", "step"):
            value = getattr(self, name)
            if value is None and name in ("default", "step"):
                continue
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise SpaceError(f"{name} is {value!r}; a number was wanted; pass one.")
            if not math.isfinite(value):
                raise SpaceError(
                    f"{name} is {value!r}; a finite number was wanted; pass one."
                )
            if self.whole and value != int(value):
                raise SpaceError(
                    f"{name} is {value!r}; a whole number was wanted; pass one, or "
                    f"use real(...)."
                )
        if self.low > self.high:
            raise SpaceError(
                f"the range is {self.low!r} to {self.high!r}; the lower end first was "
                f"wanted; swap them."
            )
        if self.log and self.low <= 0:
            raise SpaceError(
                f"low is {self.low!r} with log=True; a number above 0 was wanted; "
                f"raise it, or leave log out."
            )
        if self.default is not None and not self.low <= self.default <= self.high:
            raise SpaceError(
                f"default is {self.default!r}; a number of {self.low!r} to "
                f"{self.high!r} was wanted; move it into the range."
            )
        if self.step is not None and self.step <= 0:
            raise SpaceError(
                f"step is {self.step!r}; a number above 0 was wanted; leave it out."
            )

    def typed(self, value: Any) -> float | int | None:
        """The value as this type, where it can be one: 8.0 is 8, "1e-3" is 0.001."""
        if isinstance(value, str):
            try:
                value = float(value) if not self.whole else _whole_of(value)
            except ValueError:
                return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        if not self.whole:
            try:
                return float(value)
            except OverflowError:
                return None
        if isinstance(value, float) and (
            not math.isfinite(value) or value != int(value)
        ):
            return None
        return int(value)

    def problem(self, value: Any, *, free: bool = False) -> tuple[str, str] | None:
        """What is wrong with a value, and what to write instead; None: nothing.

        Args:
            free: only type and sign count, and not the range.
        """
        held = self.typed(value)
        kind = "a whole number" if self.whole else "a number"
        if held is None or not math.isfinite(held):
            return f"is {_short(value)}, and no finite {kind[2:]}", self.words(free)
        if free:
            sound = held > 0 if self.low > 0 else held >= 0 or self.low < 0
            return None if sound else (f"is {_short(value)}", self.words(free))
        if not self.low <= held <= self.high:
            return (
                f"is {_short(value)}, outside {figure(self.low)} to "
                f"{figure(self.high)}",
                self.words(),
            )
        if self.step is not None and self._on_step(held) is None:
            return f"is {_short(value)}, between two steps", self.words()
        return None

    def _on_step(self, value: float) -> float | None:
        assert self.step is not None
        count = (value - self.low) / self.step
        return None if abs(count - round(count)) > 1e-6 else value

    def words(self, free: bool = False) -> str:
        """What values it takes, in words."""
        kind = "integer" if self.whole else "float"
        if free:
            sign = "positive " if self.low > 0 else "nonnegative "
            return f"{sign if self.low >= 0 else ''}{kind}"
        scale = ", log scale" if self.log else ""
        step = (
            f", in steps of {figure(self.step)}" if self.step not in (None, 1) else ""
        )
        return f"{kind}, {figure(self.low)} to {figure(self.high)}{step}{scale}"

    def to_unit(self, value: float) -> float:
        """Where a value lies between the ends, 0 to 1, on this scale."""
        low, high = float(self.low), float(self.high)
        if low == high:
            return 0.5
        value = min(max(float(value), low), high)
        if self.log:
            return (math.log(value) - math.log(low)) / (math.log(high) - math.log(low))
        return (value - low) / (high - low)

    def of_unit(self, place: float) -> float | int:
        """The value at a place, with four significant digits."""
        low, high = float(self.low), float(self.high)
        place = min(max(place, 0.0), 1.0)
        if self.log:
            value = math.exp(math.log(low) + place * (math.log(high) - math.log(low)))
        else:
            value = low + place * (high - low)
        value = min(max(value, low), high)
        if self.step is not None:
            most = math.floor((high - low) / self.step + 1e-9)
            count = min(round((value - low) / self.step), most)
            value = low + count * self.step
        if self.whole:
            return round(value)
        short = float(f"{value:.{DIGITS}g}")
        return short if low <= short <= high and self.step is None else value

    def draw(self, rng: random.Random) -> float | int:
        """A value drawn uniformly on this scale."""
        pad = 0.5 if self.whole else 0.0
        low, high = self.low - pad, self.high + pad
        if self.log:
            low = max(low, self.low / 2)
            value = math.exp(rng.uniform(math.log(low), math.log(high)))
        else:
            value = rng.uniform(low, high)
        value = min(max(value, float(self.low)), float(self.high))
        if self.step is not None and self.step != 1:
            value = float(self.of_unit(self.to_unit(value)))
        return round(value) if self.whole else value

    @property
    def start(self) -> float | int:
        """The default, else the middle of the scale."""
        if self.default is None:
            return self.of_unit(0.5)
        return int(self.default) if self.whole else float(self.default)

    @property
    def size(self) -> float:
        """How many values there are."""
        if self.low == self.high:
            return 1
        if self.step is None and not self.whole:
            return math.inf
        return math.floor((self.high - self.low) / (self.step or 1)) + 1

    def as_dict(self) -> dict[str, Any]:
        """Plain data, as a run folder holds it."""
        held: dict[str, Any] = {"kind": "whole" if self.whole else "real"}
        held |= {"low": self.low, "high": self.high, "log": self.log}
        held |= {"step": self.step, "default": self.default}
        return held | {"when": {name: list(each) for name, each in self.when.items()}}


@dataclass(frozen=True)
class Choice:
    """One of a few values.

    Attributes:
        choices: texts, numbers, booleans or None, each once.
        default: one of them; None: not known, or the choice None.
        when: with which values of others it is used; empty: always.
    """

    choices: tuple[Any, ...]
    default: Any = None
    when: When = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.choices:
            raise SpaceError(
                "one_of() got no choice; at least one was wanted; pass the values."
            )
        for value in self.choices:
            if not isinstance(value, str | int | float | bool | None):
                raise SpaceError(
                    f"a choice is {value!r}; a text, a number, a boolean or None was "
                    f"wanted; pass a name, and look the object up in the objective."
                )
        if len({_key(value) for value in self.choices}) < len(self.choices):
            raise SpaceError(
                f"the choices are {self.choices!r}; each once was wanted; take the "
                f"second away."
            )
        if self.default is not None and self.index(self.default) is None:
            raise SpaceError(
                f"default is {self.default!r}; one of {self.choices!r} was wanted; "
                f"pick one."
            )

    def index(self, value: Any) -> int | None:
        """Which choice a value is; "Adam" is "adam" where only one reads so."""
        if not isinstance(value, str | int | float | bool | None):
            return None
        for place, choice in enumerate(self.choices):
            if _key(choice) == _key(value):
                return place
        alike = [
            place
            for place, choice in enumerate(self.choices)
            if _folded(choice) == _folded(value)
        ]
        return alike[0] if len(alike) == 1 else None

    def typed(self, value: Any) -> Any:
        """The choice that is meant; only for values without a problem."""
        place = self.index(value)
        return None if place is None else self.choices[place]

    def problem(self, value: Any, *, free: bool = False) -> tuple[str, str] | None:
        """What is wrong with a value, and what to write instead; None: nothing."""
        if self.index(value) is not None:
            return None
        return f"is {_short(value)}, and no choice", self.words()

    def words(self, free: bool = False) -> str:
        """What values it takes, in words."""
        return f"one of {', '.join(shown(each) for each in self.choices)}"

    def draw(self, rng: random.Random) -> Any:
        """A choice drawn uniformly."""
        return rng.choice(self.choices)

    @property
    def start(self) -> Any:
        """The default, else the first."""
        return self.choices[0] if self.default is None else self.typed(self.default)

    @property
    def size(self) -> float:
        """How many values there are."""
        return len(self.choices)

    def as_dict(self) -> dict[str, Any]:
        """Plain data, as a run folder holds it."""
        held: dict[str, Any] = {"kind": "one_of", "choices": list(self.choices)}
        held |= {"default": self.default}
        return held | {"when": {name: list(each) for name, each in self.when.items()}}


Hyperparameter = Number | Choice


def real(
    low: float,
    high: float,
    *,
    log: bool = False,
    step: float | None = None,
    default: float | None = None,
    when: Mapping[str, Any] | None = None,
) -> Number:
    """A float from `low` to `high`.

    Args:
        low, high: the ends, both allowed.
        log: tune its order of magnitude; `low` must be above 0.
        step: only `low`, `low + step`, ...
        default: what is used where nobody thinks about it.
        when: with which values of others it is used, `{"kernel": "rbf"}` or
            `{"kernel": ("rbf", "poly")}`.

    Raises:
        SpaceError: the range is none.

    >>> real(1e-5, 1, log=True, default=1e-3).words()
    'float, 1e-05 to 1, log scale'
    """
    return Number(False, low, high, log, step, default, when_of(when))


def whole(
    low: int,
    high: int,
    *,
    log: bool = False,
    step: int | None = None,
    default: int | None = None,
    when: Mapping[str, Any] | None = None,
) -> Number:
    """An int from `low` to `high`; the arguments are those of `real`.

    Raises:
        SpaceError: the range is none.

    >>> whole(1, 3).words()
    'integer, 1 to 3'
    """
    return Number(True, low, high, log, step, default, when_of(when))


def one_of(
    *choices: Any, default: Any = None, when: Mapping[str, Any] | None = None
) -> Choice:
    """One of a few texts, numbers, booleans or None; `when` as of `real`.

    Raises:
        SpaceError: there is none, one stands twice, or one is an object.

    >>> one_of("adam", "sgd").words()
    'one of "adam", "sgd"'
    """
    return Choice(choices, default, when_of(when))


def when_of(when: Mapping[str, Any] | None) -> When:
    """Each condition with a tuple of values."""
    return {
        name: tuple(values) if isinstance(values, list | tuple | set) else (values,)
        for name, values in (when or {}).items()
    }


def figure(value: Any) -> str:
    """A number with four significant digits; whole numbers in full."""
    if isinstance(value, float):
        return f"{value:.{DIGITS}g}"
    return _short(value)


def shown(value: Any) -> str:
    """A value as JSON writes it, numbers with four digits."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return f'"{value}"' if isinstance(value, str) else figure(value)


def _whole_of(text: str) -> int:
    number = float(text)
    if not math.isfinite(number) or number != int(number):
        raise ValueError(text)
    return int(number)


def _key(value: Any) -> tuple[str, Any]:
    # True is 1 in Python, and another choice here.
    return ("bool" if isinstance(value, bool) else "", value)


def _folded(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip().casefold()


def _short(value: Any) -> str:
    try:
        text = repr(value)
    except ValueError:  # an int of more digits than Python writes
        text = "an integer without end"
    return text if len(text) <= 60 else f"{text[:57]}..."
