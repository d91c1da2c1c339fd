"""Makes hyperparameters: `real`, `whole` and `one_of`."""

from collections.abc import Mapping
from typing import Any

from dux_prompts.tuning.choice import Choice
from dux_prompts.tuning.number import Number
from dux_prompts.tuning.values import when_of

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
