"""What part of a rule's learning rate and weight decay each parameter group gets.

A rule is written with one `lr` and one `weight_decay`. A user who split parameters
into groups meant something by it: layers that learn slowly, biases that do not decay.
Each group's value relative to the largest is kept, whatever the rule's own value is.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from dux_sandbox.tensor_numbers import number_inside


@dataclass(frozen=True)
class Share:
    """One group's part, relative to the largest over all groups.

    Attributes:
        rate: of the learning rate; 1.0 for the group with the largest.
        decay: of the weight decay; 0.0 for a group that does not decay.
    """

    rate: float = 1.0
    decay: float = 1.0


def shares_of(groups: Sequence[dict[str, Any]]) -> list[Share]:
    """The shares that the values of these groups stand for.

    The rate is `initial_lr` where a schedule has put one, else `lr`. Where every
    value is zero, or a group has none, nothing is known and every share is 1.

    >>> shares_of([{"lr": 0.1, "weight_decay": 0.0}, {"lr": 0.4, "weight_decay": 0.2}])
    [Share(rate=0.25, decay=0.0), Share(rate=1.0, decay=1.0)]
    """
    rates = _relative([_base_rate(group) for group in groups])
    decays = _relative([number_in(group.get("weight_decay")) for group in groups])
    return [Share(rate, decay) for rate, decay in zip(rates, decays, strict=True)]


def share_out(
    options: Sequence[dict[str, Any]], shares: Sequence[Share]
) -> list[dict[str, Any]]:
    """Each group's option values as a rule was built, with its share of them.

    >>> share_out([{"lr": 0.1, "eps": 1e-8}], [Share(rate=0.5)])
    [{'lr': 0.05, 'eps': 1e-08}]
    """
    return [
        {name: _part(name, value, share) for name, value in each.items()}
        for each, share in zip(options, shares, strict=True)
    ]


def number_in(value: Any) -> float | None:
    """An option's value as a number; None where it is none, or not finite."""
    if value is None or isinstance(value, str | bytes):
        return None
    try:
        number = float(number_inside(value) if torch.is_tensor(value) else value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        return None
    return number if math.isfinite(number) else None


def says(there: Any, number: Any) -> bool:
    """Whether a value of another type (of NumPy, a fraction) is just this number.

    >>> from fractions import Fraction
    >>> says(Fraction(1, 2), 0.5), says(0.5, 0.5), says(True, 1.0)
    (True, False, False)
    """
    plain = isinstance(there, torch.Tensor) or type(there) in (int, float, bool)
    return not plain and type(number) is float and number_in(there) == number


@contextmanager
def rates_kept(groups: Sequence[dict[str, Any]]) -> Iterator[None]:
    """Rates that are written in here go into the tensors where a loop keeps its own.

    Groups may share one, as those of torch's optimizers do: it is written where all of
    them have the same rate now; else those that were written to have numbers.
    """
    before = [group.get("lr") for group in groups]
    yield
    for index, rate in enumerate(before):
        if type(rate) is torch.Tensor and groups[index].get("lr") is not rate:
            sharing = [groups[at] for at, was in enumerate(before) if was is rate]
            now: list[Any] = [one.get("lr") for one in sharing]
            if all(type(each) in (int, float) for each in now) and len(set(now)) == 1:
                if _fill(rate, now[0]):
                    for one in sharing:
                        one["lr"] = rate


def _fill(rate: torch.Tensor, number: float) -> bool:
    """Write it, if the tensor can hold it; whether it was."""
    if rate.requires_grad or rate.is_inference() or rate.numel() != 1:
        return False
    if not rate.is_floating_point():
        return False
    if abs(number) > torch.finfo(rate.dtype).max:
        return False
    rate.detach().fill_(number)
    return True


def _base_rate(group: dict[str, Any]) -> float | None:
    scheduled = number_in(group.get("initial_lr"))
    return number_in(group.get("lr")) if scheduled is None else scheduled


def _relative(values: list[float | None]) -> list[float]:
    numbers = [value for value in values if value is not None]
    largest = max(numbers, default=0.0)
    if largest <= 0 or len(numbers) < len(values):
        return [1.0] * len(values)
    return [number / largest for number in numbers]


def _part(name: str, value: Any, share: Share) -> Any:
    part = {"lr": share.rate, "weight_decay": share.decay}.get(name, 1.0)
    counts = isinstance(value, int | float) and not isinstance(value, bool)
    if part == 1.0 or not (counts or isinstance(value, torch.Tensor)):
        return value
    return value * part
