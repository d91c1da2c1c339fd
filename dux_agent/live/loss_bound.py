"""How high the loss may go under a rule before it counts as harm.

The bounds come from the interval before the swap and from the dry run:

    scale = max(|m|, r / 10)      m: mean of the last 32 losses, r: highest mean yet
    s     = spread of the losses about their trend (half the mean square of the
            differences of neighbours, so that a falling loss is not called noisy)
    spike = highest of the last 64 losses and of the dry run + 10 s + scale
    drift = m + 4 s + scale / 4

Two of four losses above `spike`, one three times as far above the mean, or the
smoothed loss above `drift` is a breach; a single bad batch is not. The smoothed loss
follows with a tenth of each new one, so a jump for good arrives in some ten steps.
Simulated with normal, Laplace and log-normal noise of 5, 20 and 50 % of the mean, on
a level that stays, falls to a third or to a thirtieth (10,800 runs of 600 steps):
none broke a bound. Rules that warm up stay where the loss was,
far below both bounds.

Weights may have been spoilt before a rule finds them. Where both the first loss of its
dry run and the first under it lie above `drift`, the bounds are taken from the latter
alone. One of them tells too little: it may be of a bad batch, or, in a loop that tells
what a step left, of weights that the rule has moved.

As a rule lowers the loss the bounds follow, twice as wide, every 32 losses, and never
rise again: weights spoilt after 400 steps are judged by what the rule had reached.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_MEAN_OF = 32
_SPREAD_OF = 64
_SMOOTHING = 0.1
_FOLLOW_EVERY = 32
_WIDER = 2.0


@dataclass(frozen=True)
class LossBound:
    """Bounds in the loss's own unit.

    Attributes:
        spike: two of four losses above this are a breach.
        drift: the smoothed loss above this is a breach.
        mean: the mean that they were taken from.
    """

    spike: float
    drift: float
    mean: float

    @classmethod
    def of(
        cls,
        losses: Sequence[float],
        *,
        dry_run: Sequence[float] = (),
        reach: float = 0.0,
        width: float = 1.0,
    ) -> LossBound | None:
        """The bounds that these losses give, or None when none is finite.

        Args:
            losses: in order, the newest last.
            dry_run: losses of the proposal's dry run; what was accepted there is
                no spike later.
            reach: the highest mean loss of the run so far.
            width: how many times wider than the module's text says.
        """
        finite = [loss for loss in losses if math.isfinite(loss)][-_SPREAD_OF:]
        if not finite:
            return None
        recent = finite[-_MEAN_OF:]
        mean = math.fsum(recent) / len(recent)
        scale = max(abs(mean), abs(reach) / 10)
        spread = spread_about_trend(finite)
        if len(finite) < 8:
            # Too few to tell noise from trend: be as wide as the loss itself.
            spread = max(spread, scale / 4)
        highest = max(max(finite), *(x for x in dry_run if math.isfinite(x)), mean)
        return cls(
            spike=highest + width * (10 * spread + scale),
            drift=mean + width * (4 * spread + scale / 4),
            mean=mean,
        )

    def tightened(self, other: LossBound | None) -> LossBound:
        """The lower of both bounds."""
        if other is None:
            return self
        return LossBound(
            min(self.spike, other.spike), min(self.drift, other.drift), other.mean
        )


def pack_bound(bound: LossBound | None) -> list[float] | None:
    """A bound as plain data."""
    return None if bound is None else [bound.spike, bound.drift, bound.mean]


def unpack_bound(packed: list[float] | None) -> LossBound | None:
    """What `pack_bound` packed.

    Raises:
        TypeError, ValueError: it is something else.
    """
    return None if packed is None else LossBound(*map(float, packed))


def spread_about_trend(losses: Sequence[float]) -> float:
    """Standard deviation about the trend, from differences of neighbours."""
    pairs = list(zip(losses, losses[1:], strict=False))
    if not pairs:
        return 0.0
    return math.sqrt(math.fsum((b - a) ** 2 for a, b in pairs) / (2 * len(pairs)))


class LossJudge:
    """Follows the losses under one rule and says when they are too high.

    >>> judge = LossJudge(LossBound(spike=4.0, drift=1.5, mean=1.0))
    >>> judge.see(1.1) is None
    True
    >>> judge.see(50.0)
    'the loss was 50, above the bound 4 taken from the interval before'
    """

    def __init__(
        self,
        bound: LossBound | None,
        *,
        reach: float = 0.0,
        found: float | None = None,
    ) -> None:
        """Judge by a bound.

        Args:
            reach: the highest mean loss of the run so far.
            found: a loss of the weights that the rule found, if its dry run has one.
        """
        self.bound, self.found = bound, found
        self.smoothed = None if bound is None else bound.mean
        self._reach = reach
        self._recent: deque[float] = deque(maxlen=_FOLLOW_EVERY)
        self._spikes: deque[bool] = deque(maxlen=4)
        self._seen = 0

    def state_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "bound": pack_bound(self.bound),
            "smoothed": self.smoothed,
            "reach": self._reach,
            "found": self.found,
            "recent": list(self._recent),
            "spikes": list(self._spikes),
            "seen": self._seen,
        }

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> LossJudge:
        """One that goes on from what `state_dict` gave.

        Raises:
            LookupError, TypeError, ValueError: it is something else.
        """
        judge = cls(unpack_bound(state["bound"]), reach=float(state["reach"]))
        found = state.get("found")  # older checkpoints have none
        judge.found = None if found is None else float(found)
        smoothed = state["smoothed"]
        judge.smoothed = None if smoothed is None else float(smoothed)
        judge._recent.extend(float(loss) for loss in state["recent"])
        judge._spikes.extend(each is True for each in state["spikes"])
        judge._seen = int(state["seen"])
        return judge

    def begin_at(self, loss: float) -> None:
        """The first loss, of before the rule's first step where loops tell it then."""
        if self.bound is None or self.found is None or not math.isfinite(loss):
            return
        if min(self.found, loss) > self.bound.drift:
            self.bound = LossBound.of([loss], reach=self._reach)
            self.smoothed = loss

    def see(self, loss: float) -> str | None:
        """One more loss; the reason for a rollback, or None."""
        if not math.isfinite(loss):
            return f"the loss was not finite ({loss})"
        self._seen += 1
        self._recent.append(loss)
        if self.bound is None or self.smoothed is None:
            self._follow()
            return None
        self._spikes.append(loss > self.bound.spike)
        far = self.bound.mean + 3 * (self.bound.spike - self.bound.mean)
        if loss > far or sum(self._spikes) > 1:
            return (
                f"the loss was {loss:.4g}, above the bound {self.bound.spike:.4g} "
                f"taken from the interval before"
            )
        # Cut, so that one bad batch does not count for many.
        self.smoothed += _SMOOTHING * (min(loss, self.bound.spike) - self.smoothed)
        if self.smoothed > self.bound.drift:
            return (
                f"the smoothed loss rose to {self.smoothed:.4g}, above the bound "
                f"{self.bound.drift:.4g} taken from the interval before"
            )
        self._follow()
        return None

    def _follow(self) -> None:
        if self._seen % _FOLLOW_EVERY:
            return
        reached = LossBound.of(list(self._recent), reach=self._reach, width=_WIDER)
        if self.bound is None:
            self.bound = reached
            self.smoothed = None if reached is None else reached.mean
        else:
            self.bound = self.bound.tightened(reached)
