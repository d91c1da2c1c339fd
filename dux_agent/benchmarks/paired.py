"""What two methods reach from the same seeds: a ratio, and how sure it is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from dux_graphs.intervals import half_interval, probability

MATTERS = 0.02
"""A difference below this share of the control's loss is none."""


@dataclass(frozen=True)
class Paired:
    """Losses of a method and of a control, seed by seed.

    Attributes:
        losses, controls: in the same order; NaN where a training diverged.
    """

    losses: Sequence[float]
    controls: Sequence[float]

    @property
    def pairs(self) -> list[tuple[float, float]]:
        """Those whose control is finite; a loss that is not counts as infinite."""
        both = zip(self.losses, self.controls, strict=True)
        return [
            (loss if math.isfinite(loss) else math.inf, control)
            for loss, control in both
            if math.isfinite(control)
        ]

    @property
    def ratio(self) -> float | None:
        """Geometric mean of loss to control; None where no control is finite."""
        ratios = [max(a, 1e-12) / max(b, 1e-12) for a, b in self.pairs]
        return geometric_mean(ratios) if ratios else None

    @property
    def change(self) -> tuple[float, float]:
        """Mean of loss less control as a share of the mean control, and the half width
        of its 95 % interval (paired t); infinite for a single seed."""
        shares = self._shares
        if not shares:
            return 0.0, math.inf
        mean = math.fsum(shares) / len(shares)
        if len(shares) < 2 or not math.isfinite(mean):
            return mean, math.inf if math.isfinite(mean) else 0.0
        return mean, half_interval(shares)

    @property
    def probability(self) -> float:
        """The p of a paired t-test, two-sided; 1 where it says nothing."""
        shares = self._shares
        finite = len(shares) > 1 and all(map(math.isfinite, shares))
        return probability(shares) if finite else 1.0

    @property
    def _shares(self) -> list[float]:
        pairs = self.pairs
        scale = math.fsum(b for _, b in pairs) / max(1, len(pairs))
        return [(a - b) / max(abs(scale), 1e-12) for a, b in pairs]

    @property
    def word(self) -> str:
        """ "worse" or "better" where it is so beyond both noise and 2 %, or "noise"."""
        mean, half = self.change
        if abs(mean) <= max(half, MATTERS):
            return "noise"
        return "worse" if mean > 0 else "better"


def geometric_mean(ratios: Sequence[float]) -> float:
    """Of ratios; NaN of none."""
    if not ratios:
        return math.nan
    return math.exp(math.fsum(map(math.log, ratios)) / len(ratios))
