"""A number that is tuned: its range, its scale, what is wrong with a value."""

import math
import random
from dataclasses import dataclass, field
from typing import Any

from dux_prompts.tuning.values import DIGITS, SpaceError, When, figure, short


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
        try:
            as_float = float(value)
        except OverflowError:  # an int of hundreds of digits
            return None
        if not self.whole:
            return self._at_the_ends(as_float)
        if isinstance(value, float) and (
            not math.isfinite(value) or value != int(value)
        ):
            return None
        return int(value)

    def _at_the_ends(self, value: float) -> float:
        """An end as a prompt shows it, with four digits, is that end."""
        for end in (self.low, self.high):
            shown = float(f"{end:.{DIGITS}g}")
            if shown <= value < end == self.low or self.high == end < value <= shown:
                return float(end)
        return value

    def problem(self, value: Any, *, free: bool = False) -> tuple[str, str] | None:
        """What is wrong with a value, and what to write instead; None: nothing.

        Args:
            free: only type and sign count, and not the range.
        """
        held = self.typed(value)
        kind = "a whole number" if self.whole else "a number"
        if held is None or not math.isfinite(held):
            return f"is {short(value)}, and no finite {kind[2:]}", self.words(free)
        if free:
            sound = held > 0 if self.low > 0 else held >= 0 or self.low < 0
            return None if sound else (f"is {short(value)}", self.words(free))
        if not self.low <= held <= self.high:
            return (
                f"is {short(value)}, outside {figure(self.low)} to {figure(self.high)}",
                self.words(),
            )
        if self.step is not None and self._on_step(held) is None:
            return f"is {short(value)}, between two steps", self.words()
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


def _whole_of(text: str) -> int:
    number = float(text)
    if not math.isfinite(number) or number != int(number):
        raise ValueError(text)
    return int(number)
