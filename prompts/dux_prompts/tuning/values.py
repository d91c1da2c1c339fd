"""What numbers and choices share: conditions, their words, the error of a space."""

from collections.abc import Mapping
from typing import Any

When = Mapping[str, tuple[Any, ...]]
"""Another hyperparameter's name -> the values of it with which this one is used."""

DIGITS = 4
"""Significant digits of what is shown and of what a rule proposes."""


class SpaceError(ValueError):
    """A space that cannot be meant."""


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
    return short(value)


def shown(value: Any) -> str:
    """A value as JSON writes it, numbers with four digits."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return f'"{value}"' if isinstance(value, str) else figure(value)


def short(value: Any) -> str:
    """A value as Python writes it, cut where it is long."""
    try:
        text = repr(value)
    except ValueError:  # an int of more digits than Python writes
        text = "an integer without end"
    return text if len(text) <= 60 else f"{text[:57]}..."
