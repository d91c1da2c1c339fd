"""Plain numbers that stand for symbols while torch looks at them."""

import math
from typing import Any

from dux_sandbox.recorded.tape import Tape

# Larger than any number of a rule, smaller than infinity: see `Tags`.
_TAG, _TAG_STEP = 2.0**700, 2.0**660
_TAG_INT = 1 << 61


class Tags:
    """Plain numbers that stand for symbols while torch looks at them.

    Nothing is computed with them, for tensors have no values here; what torch makes of
    one in passing (1 - alpha) is as large and no tag, and so it is found out.
    """

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self._values: dict[float | int, int] = {}
        self._floats: dict[int, float] = {}
        self._ints: dict[int, int] = {}

    def tag(self, value: int, kind: str) -> float | int:
        """The number that stands for a value of the tape."""
        if kind == "int":
            if value not in self._ints:
                self._ints[value] = _TAG_INT + len(self._ints)
                self._values[self._ints[value]] = value
            return self._ints[value]
        if value not in self._floats:
            self._floats[value] = _TAG + len(self._floats) * _TAG_STEP
            self._values[self._floats[value]] = value
        return self._floats[value]

    def is_tag(self, found: Any) -> bool:
        """Whether a number, or one in a list, stands for a value of the tape."""
        if isinstance(found, (list, tuple)):
            return any(map(self.is_tag, found))
        return type(found) in (int, float) and found in self._values

    def value_of(self, number: Any) -> int:
        """The value of the tape that a number is, or stands for."""
        if number in self._values and type(number) is not bool:
            return self._values[number]
        if type(number) not in (int, float, bool):
            raise self._tape.refuse(f"uses a number of type {type(number).__name__}")
        odd = abs(number) > 1e100 or 0 < abs(number) < 1e-180
        if odd and math.isfinite(number):
            raise self._tape.refuse("uses a number that torch makes of others inside")
        return self._tape.constant(number)
