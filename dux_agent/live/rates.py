"""What a scheduler did to a learning rate, so that it can be done to another one.

Some schedulers multiply the rate that they find (StepLR, ExponentialLR, cosine,
plateau); some compute it anew and overwrite what they find (LambdaLR, OneCycleLR,
CyclicLR). Nothing on the optimizer says which, but the values do: the first change
after a swap is either one more factor like the others, or a jump back to where the
schedule had been.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from dux_sandbox.group_shares import number_in


class RateTrail:
    """The changes that the loop and its schedulers made to one group's rate.

    Changes made inside a step are the rule's own and do not count.
    """

    def __init__(self, rate: Any) -> None:
        self._last = number_in(rate)
        self._first: float | None = None  # the rate after the first change
        self._usual: float | None = None  # factor of the last change before the swap
        self._factors: list[float] = []  # of the first two changes after it
        self._product = 1.0

    def state_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "last": self._last,
            "first": self._first,
            "usual": self._usual,
            "factors": list(self._factors),
            "product": self._product,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self._last, self._first = state["last"], state["first"]
        self._usual, self._product = state["usual"], state["product"]
        self._factors = list(state["factors"])

    def look(self, rate: Any) -> None:
        """Before a step: take note of what happened to the rate since the last."""
        now = number_in(rate)
        if now == self._last or now is None:
            return
        factor = None
        if self._last is not None and now > 0 and self._last > 0:
            factor = now / self._last
        self._last = now
        if factor is None:
            return
        self._product *= factor
        if not self._factors:
            self._first = now
        if len(self._factors) < 2:
            self._factors.append(factor)
        else:
            self._factors[1] = factor

    def skip(self, rate: Any) -> None:
        """After a step: whatever the rule made of its rate is its own business."""
        self._last = number_in(rate)

    def swapped(self, rate: Any) -> None:
        """Another rule is live, with this rate."""
        if self._factors:
            self._usual = self._factors[-1]
        self._factors = []
        self._product = 1.0
        self._last = number_in(rate)

    def due(self, incumbent: Any, now: Any, *, overwrites: bool = False) -> Any:
        """The rate that an incumbent gets when it comes back.

        Args:
            incumbent: its rate when it was replaced.
            now: the rate in the group.
            overwrites: the scheduler is known to compute the rate anew.

        Returns:
            `incumbent` itself where nobody changed the rate in between.
        """
        self.look(now)
        before = number_in(incumbent)
        if not self._factors or before is None or before <= 0:
            return incumbent
        if overwrites or self._jumped_back(before):
            return now
        return before * self._product

    def _jumped_back(self, before: float) -> bool:
        """Whether the first change was no factor but a return to the schedule."""
        usual = self._factors[1] if len(self._factors) > 1 else self._usual
        if usual is None:
            return False  # a factor put on twice would stay for good; this will not
        first = self._factors[0]
        if self._first is None:
            return False
        as_factor = abs(math.log(first / usual))
        as_return = abs(math.log(self._first / before / usual))
        return as_return < as_factor
