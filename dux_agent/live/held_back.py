"""Rates held at a fraction of what the loop and its schedulers set.

After a rollback of a run without a language model training goes on at half the rate.
The fraction is put on here and nowhere else.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch

from dux_agent.live.group_options import Options, has_scheduler
from dux_sandbox.group_shares import number_in


@dataclass
class _Held:
    """One group's rate.

    Attributes:
        factor: what its rate is times.
        shown: the group itself holds the lowered rate. Only where nobody has written
            a rate of his own since; a schedule goes on from what it finds there.
        plain: the rate without the factor, while `shown`.
        left: what was left in the group, while `shown`.
    """

    factor: float = 1.0
    shown: bool = False
    plain: float = 0.0
    left: float = 0.0


class HeldBack:
    """The rates of one optimizer's groups.

    Where an LR scheduler is attached, or the loop writes rates by hand, the groups
    hold what was written, and the lowered rate only while a step is taken: so it is
    relative to every schedule, those that multiply what they find and those that
    overwrite it. Where nobody writes a rate, the groups show the lowered one.

    >>> groups = [{"params": [], "lr": 0.1}]
    >>> rates = HeldBack()
    >>> rates.lower(groups, 0.5)
    >>> groups[0]["lr"]
    0.05
    """

    def __init__(self) -> None:
        self._groups: list[_Held] = []

    @property
    def factor(self) -> float:
        """The lowest fraction over the groups; 1 where nothing is held back."""
        return min((held.factor for held in self._groups), default=1.0)

    def lower(self, groups: list[Options], by: float) -> None:
        """From now on every rate is `by` times what it would be; in place."""
        for group, held in self._each(groups):
            self._settle(group, held)
            held.factor *= by
            rate = number_in(group.get("lr"))
            if rate is None or has_scheduler(group):
                continue
            if not held.shown:
                held.shown, held.plain = True, rate
            self._show(group, held)

    def undo(self, groups: list[Options]) -> None:
        """The groups hold what the loop set, and nothing is held back; in place."""
        for group, held in self._each(groups):
            self._settle(group, held)
            if held.shown:
                _put(group, held.plain)
        self._groups = []

    @contextmanager
    def while_stepping(self, groups: list[Options]) -> Iterator[None]:
        """Inside, each group's `lr` is the lowered one."""
        if self.factor == 1.0:
            yield
            return
        lowered: list[tuple[Options, _Held, Any, Any]] = []
        for group, held in self._each(groups):
            self._settle(group, held)
            rate: Any = group.get("lr")
            if held.shown or held.factor == 1.0 or number_in(rate) is None:
                continue
            group["lr"] = rate * held.factor
            lowered.append((group, held, rate, group["lr"]))
        try:
            yield
        finally:
            for group, held, rate, put in lowered:
                now: Any = group.get("lr")
                if now is put:
                    group["lr"] = rate
                elif number_in(now) is not None:  # the optimizer's own doing
                    group["lr"] = now / held.factor

    def state_dict(self) -> list[dict[str, Any]]:
        """One dict a group, plain data."""
        return [asdict(held) for held in self._groups]

    def load_state_dict(self, state: list[Mapping[str, Any]]) -> None:
        """Go on from what `state_dict` gave; the groups hold what they held then."""
        self._groups = [
            _Held(
                float(each["factor"]),
                bool(each["shown"]),
                float(each["plain"]),
                float(each["left"]),
            )
            for each in state
        ]

    def _each(self, groups: list[Options]) -> list[tuple[Options, _Held]]:
        factor = self.factor
        while len(self._groups) < len(groups):
            self._groups.append(_Held(factor))
        return list(zip(groups, self._groups, strict=False))

    def _settle(self, group: Options, held: _Held) -> None:
        """See whether somebody has written the rate since it was left here."""
        if not held.shown:
            return
        now = number_in(group.get("lr"))
        if has_scheduler(group):
            # Made since: it has taken the lowered rate for its own.
            held.shown, held.factor = False, 1.0
        elif now is not None and now != held.left:
            held.shown = False
            if _multiplied(now, held):
                _put(group, now / held.factor)

    def _show(self, group: Options, held: _Held) -> None:
        _put(group, held.plain * held.factor)
        held.left = number_in(group["lr"]) or 0.0


def _multiplied(now: float, held: _Held) -> bool:
    """Whether a loop that wrote `now` had multiplied what it found.

    It may have written a rate of its own instead: then `now` is nearer to the last
    rate without the factor.
    """
    if min(now, held.left, held.plain) <= 0:
        return False
    return abs(math.log(now / held.left)) <= abs(math.log(now / held.plain))


def _put(group: Options, rate: float) -> None:
    """Write a rate; a tensor stays one."""
    held = group["lr"]
    if isinstance(held, torch.Tensor):
        group["lr"] = torch.full_like(held, rate)
    else:
        group["lr"] = rate
