"""Values out of a trace, believed only as far as their types go.

A trace may come from another version, from another machine or from somebody who
wishes ill: nothing in it is taken to be there, or to be what it should be.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def number(value: Any) -> float | None:
    """A number as the trace holds it, "NaN" and "Infinity" included; else None.

    >>> number(3), number("-Infinity"), number(True), number("three")
    (3.0, -inf, None, None)
    """
    if value in ("NaN", "Infinity", "-Infinity") and isinstance(value, str):
        return float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def count(value: Any) -> int | None:
    """A whole number, not below 0; else None."""
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value < 2**63 else None


def text(value: Any) -> str:
    """A text; the empty one for anything else."""
    return value if isinstance(value, str) else ""


def mapping(value: Any) -> dict[str, Any]:
    """A JSON object; the empty one for anything else."""
    return dict(value) if isinstance(value, Mapping) else {}


def items(value: Any) -> list[Any]:
    """A JSON list; the empty one for anything else."""
    return value if isinstance(value, list) else []


def numbers(value: Any) -> list[float]:
    """The numbers of a list, in order; what is none is left out."""
    return [found for found in map(number, items(value)) if found is not None]
