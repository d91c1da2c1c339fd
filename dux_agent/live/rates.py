"""A rule's learning rate while a schedule goes on: plain arithmetic.

The schedule's *own* rate is the one that it would have set if no rule had ever been
swapped in. A rule's rate is what it was at its swap, times what the schedule's own rate
has become since then.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import torch

from dux_sandbox.group_shares import number_in

# A value written by hand that is this near to the schedule's own, as a fraction of it,
# is one of a loop that computes its rates, not a wish of the user's for the rule.
_NEAR = 0.1


@dataclass(frozen=True)
class Reference:
    """What a rule's rate is relative to.

    Attributes:
        rate: the rule's.
        own: the schedule's own when the rule had that rate; 0.0 where the schedule
            stood at zero and is not known to have another rate.
    """

    rate: float
    own: float

    def at(self, own: float) -> float:
        """The rule's rate when the schedule's own is `own`.

        >>> Reference(0.001, own=0.1).at(0.05)
        0.0005
        """
        return self.rate if self.own == 0.0 else self.rate * (own / self.own)


References = list[Reference | None]


@dataclass(frozen=True)
class SavedRates:
    """The rates of a schedule as plain data.

    Attributes:
        own: of each group the schedule's own rate; empty where it is the live one.
        references: of each group `[rate, own]`, or None.
        shown: of each group the live rate that was put into it last.
        scales: of each group; see `dux_agent.live.schedule`.
        by_hand, changes, multiplies: see `dux_agent.live.by_hand`.
    """

    own: list[float | None] = field(default_factory=list)
    references: list[list[float] | None] = field(default_factory=list)
    shown: list[float | None] = field(default_factory=list)
    scales: list[float] = field(default_factory=list)
    by_hand: bool = False
    changes: int = 0
    multiplies: bool | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], groups: int) -> Self:
        """What `as_dict` gave.

        Raises:
            LookupError, TypeError, ValueError: it did not, or of other groups.
        """
        references = unpack_references(data["references"])
        read = cls(
            own=[number_in(rate) for rate in data["own"]],
            references=pack_references(references),
            shown=[number_in(rate) for rate in data["shown"]],
            scales=[float(scale) for scale in data["scales"]],
            by_hand=bool(data["by_hand"]),
            changes=int(data["changes"]),
            multiplies=_claim(data.get("multiplies")),
        )
        sizes = {len(read.references), len(read.scales)}
        sizes |= {len(read.own), len(read.shown)} if read.own else set()
        if sizes != {groups}:
            raise ValueError(f"rates of other groups than the {groups} that there are")
        return read


def _claim(value: Any) -> bool | None:
    return None if value is None else bool(value)


def pack_references(references: Sequence[Reference | None]) -> list[list[float] | None]:
    """References as plain data."""
    return [None if each is None else [each.rate, each.own] for each in references]


def unpack_references(references: Sequence[Sequence[float] | None]) -> References:
    """What `pack_references` gave.

    Raises:
        LookupError, TypeError, ValueError: it did not.
    """
    return [
        None if each is None else Reference(float(each[0]), float(each[1]))
        for each in references
    ]


def reference_to(rate: float, own: float | None, initial: float | None) -> Reference:
    """A rule of this rate goes live while the schedule's own is `own`.

    Args:
        own: None: the optimizer has no rate.
        initial: the rate that the schedule is a multiple of, if it says so. It stands
            in where the schedule is at zero, as at the first step of a warm-up: the
            rule then reaches its rate where the schedule reaches that one.
    """
    return Reference(rate, own or initial or 0.0)


def told_apart(end: float, own: float, shown: float) -> float:
    """The schedule's own rate after a change of which only the outcome is known.

    Args:
        end: what was written.
        own: the schedule's own rate before.
        shown: the live rate that was found and overwritten.

    Returns:
        `end` where it goes on from `own` (whoever wrote it computes the rate anew),
        else `own` times the factor that `shown` was multiplied by.
    """
    if min(end, own, shown) <= 0:
        return end
    as_return, as_factor = abs(math.log(end / own)), abs(math.log(end / shown))
    return end if as_return <= as_factor else own * (end / shown)


def of_the_schedule(value: float, own: float, shown: float) -> bool:
    """Whether a value written by hand goes on from the schedule's own rate."""
    if value == own:
        return own != shown
    near = abs(value - own) <= _NEAR * abs(own)
    return near and abs(value - own) < abs(value - shown)


def number_of_rate(rate: Any) -> float:
    """A rate as a number; 1.0 where there is none to be relative to."""
    number = number_in(rate)
    return 1.0 if number is None else number


def write_rate(group: dict[str, Any], rate: Any, tensor: torch.Tensor | None) -> None:
    """Put a rate into a group, into `tensor` where it is kept in one."""
    if tensor is None or not (isinstance(rate, torch.Tensor) or _holds(tensor, rate)):
        group["lr"] = rate
        return
    with torch.no_grad():
        if isinstance(rate, torch.Tensor):
            tensor.copy_(rate)
        else:
            tensor.fill_(rate)
    group["lr"] = tensor


def _holds(tensor: torch.Tensor, rate: Any) -> bool:
    """Whether a number fits into a tensor: a rule may have chosen a half."""
    if not tensor.is_floating_point():
        return False
    return abs(number_of_rate(rate)) <= torch.finfo(tensor.dtype).max
