"""Numbers to places on a chart: linear and logarithmic axes with round ticks."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

# From this ratio on, equal distances show equal ratios: a loss that falls from 2.3 to
# 0.05 is a flat line at the bottom of a linear axis for most of the run.
_LOG_FROM = 5.0


@dataclass(frozen=True)
class Axis:
    """One axis.

    Attributes:
        low, high: the values at its ends.
        start, end: where these are drawn, user units of the drawing.
        logarithmic: equal distances are equal ratios.
        ticks: round values between the ends.
    """

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool
    ticks: tuple[float, ...]

    def place(self, value: float) -> float:
        """Where a value is drawn; beyond the ends it stays at the end."""
        value = min(max(value, self.low), self.high)
        if self.logarithmic:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)


def axis_of(
    values: Iterable[float],
    start: float,
    end: float,
    *,
    ticks: int = 5,
    whole: bool = False,
    logarithmic: bool | None = None,
) -> Axis:
    """An axis that holds all finite values.

    Args:
        values: what is to be drawn.
        start, end: where the lowest and the highest go.
        ticks: about how many.
        whole: only whole numbers get a tick.
        logarithmic: None: where all values are above 0 and far apart.
    """
    # Beyond these, differences and ratios are no floats any more.
    finite = [each for each in values if math.isfinite(each) and abs(each) < 1e300]
    low, high = min(finite, default=0.0), max(finite, default=1.0)
    if logarithmic is None:
        logarithmic = low > 1e-300 and high / low >= _LOG_FROM
    if logarithmic:
        low, high = low / 1.06, high * 1.06
        return Axis(low, high, start, end, True, _log_ticks(low, high))
    if high - low <= 1e-12 * max(abs(low), abs(high), 1e-300):
        room = abs(high) * 0.5 or 0.5
        low, high = low - room, high + room
    elif not whole:
        room = (high - low) * 0.05
        # A loss that is never below 0 gets no axis below 0.
        low = low - room if low < 0 or low > room else 0.0
        high += room
    return Axis(low, high, start, end, False, _ticks(low, high, ticks, whole))


def _ticks(low: float, high: float, wanted: int, whole: bool) -> tuple[float, ...]:
    raw = (high - low) / max(wanted, 1)
    unit = 10.0 ** math.floor(math.log10(raw))
    distance = next(each * unit for each in (1, 2, 2.5, 5, 10) if each * unit >= raw)
    if whole:
        distance = max(1.0, math.ceil(distance))
    first = math.ceil(low / distance)
    last = math.floor(high / distance)
    return tuple(at * distance for at in range(first, last + 1))


def _log_ticks(low: float, high: float) -> tuple[float, ...]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    step = max(1, len(decades) // 6)
    parts = (1, 2, 5) if len(decades) <= 4 else (1,)
    found = [part * 10.0**decade for decade in decades[::step] for part in parts]
    return tuple(each for each in found if low <= each <= high)
