"""Looks at a whole interval under a rule, where every single step was within bounds.

    reached = lowest mean loss of a last fifth yet
    s       = spread of the newest losses about their trend
    bound   = reached + |reached| / 2 + 4 s sqrt(2 / n)     n: losses in a fifth
    first   = reached + |reached| / 20 + 2 s sqrt(2 / n)    after its first interval

A rule under which the last fifth of an interval lies above that has undone what the
rules before it had reached, however slowly: its predecessor goes on. On its first
interval it has to show that it may stay at all: of 30 intervals under good rules on
the tasks of training and validation the worst ended 4 % above what was reached.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from dux_agent.decisions import Decision
from dux_agent.live.loss_bound import spread_about_trend
from dux_agent.live.optimizer import DuxOptimizer
from dux_agent.training.interval_statistics import IntervalStatistics

_RISE, _NOISES = 0.5, 4.0
_FIRST_RISE, _FIRST_NOISES = 0.05, 2.0


def on_probation(decisions: Sequence[Decision], accept: str) -> bool:
    """Whether the last decision made a rule live that has to show that it may stay.

    Where `accept` is "finite" whatever runs is wanted.
    """
    return accept != "finite" and bool(decisions) and decisions[-1].verdict == "applied"


class Regret:
    """What the run had reached at the ends of its intervals.

    Attributes:
        reached: the lowest mean loss of a last fifth yet; None: no interval is over.
        proved: rules whose first interval has ended below what was reached before.
        reaches: which share of that reaches held-back data, as the last decision saw it
            (`dux_agent.deciding.burden.reaching`).
    """

    def __init__(self, reached: float | None = None, proved: int = 0) -> None:
        """One that knows what was reached.

        Raises:
            TypeError, ValueError: it is no number.
        """
        self.reached = None if reached is None else float(reached)
        self.proved = int(proved)
        self.reaches = 1.0

    def of_maker(self, caught: int) -> dict[str, Any]:
        """By what `dux_agent.deciding.burden.tried` reads the dry run of a maker.

        Args:
            caught: how often it was.
        """
        return {"standing": self.proved - caught, "reaches": self.reaches}

    def look(
        self, interval: IntervalStatistics, live: DuxOptimizer, *, new: bool = False
    ) -> None:
        """Let the rule of the interval that is over go, where it may not go on.

        Args:
            new: it is `on_probation`.
        """
        ruled, before = live.running is not live.base_rule, self.reached
        reason = self.of(interval, ruled=ruled, new=new)
        if ruled and new and before is not None and self.reached is not None:
            self.proved += self.reached < before
        if reason is not None:
            live.guard.breach(reason)

    def of(
        self, interval: IntervalStatistics, *, ruled: bool, new: bool = False
    ) -> str | None:
        """Why the rule of the interval that is over may not go on, or None.

        Args:
            interval: its losses.
            ruled: a generated rule is live; of the base optimizer nothing is said, and
                what it has come to is what there is to reach.
            new: it is its first interval, and it is `on_probation`.
        """
        fifths = interval.losses.fifths()
        if not fifths:
            return None
        last, reached = fifths[-1], self.reached
        if reached is None or not ruled:
            self.reached = last
            return None
        count = max(1.0, interval.losses.count / len(fifths))
        own = list(interval.recent)[-interval.losses.count :]
        newest = [loss for loss in own if math.isfinite(loss)]
        noise = spread_about_trend(newest) * math.sqrt(2.0 / count)
        rise, noises = _FIRST_RISE if new else _RISE, _FIRST_NOISES if new else _NOISES
        bound = reached + rise * abs(reached) + noises * noise
        if last > bound:
            return (
                f"the interval ended with a mean loss of {last:.4g}, above the bound "
                f"{bound:.4g} taken from the {reached:.4g} that was reached before"
            )
        self.reached = min(reached, last)
        return None
