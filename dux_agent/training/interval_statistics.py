"""Losses and gradient norms in, the figures of an observation out.

Memory stays bounded however long an interval is: figures are kept in at most 512
blocks of neighbours, which merge two by two when they get too many; the losses for
the prompt are drawn as they come (reservoir sampling, Vitter 1985, algorithm R).
"""

import math
import random
from collections import deque
from collections.abc import Mapping
from typing import Any

_MOST_BLOCKS = 512
_FIFTHS = 5
_RECENT = 128
# clip_grad_norm_ leaves max_norm * norm / (norm + 1e-6); norms that nobody clips do
# not meet so closely, three of them, at their highest.
_SAME_NORM = 1e-4
_CLIPPED = 3
_NORMS_WANTED = 15  # per interval: three a fifth


class Thinned:
    """A long row of numbers in bounded memory, for means over parts of it.

    >>> row = Thinned()
    >>> for number in range(10):
    ...     row.add(float(number))
    >>> row.fifths()
    [0.5, 2.5, 4.5, 6.5, 8.5]
    """

    def __init__(self) -> None:
        self.count = 0
        self._size = 1  # numbers a block holds
        self._sums: list[float] = []
        self._counts: list[int] = []

    def add(self, number: float) -> None:
        """One more finite number."""
        self.count += 1
        if self._counts and self._counts[-1] < self._size:
            self._sums[-1] += number
            self._counts[-1] += 1
            return
        if len(self._sums) == _MOST_BLOCKS:
            self._size *= 2
            self._sums = [sum(self._sums[i : i + 2]) for i in range(0, _MOST_BLOCKS, 2)]
            self._counts = [
                sum(self._counts[i : i + 2]) for i in range(0, _MOST_BLOCKS, 2)
            ]
        self._sums.append(number)
        self._counts.append(1)

    def halve(self) -> None:
        """Put the mean of each two neighbours in their place: half as many numbers."""
        means = [s / count for s, count in zip(self._sums, self._counts, strict=True)]
        pairs = [means[at : at + 2] for at in range(0, len(means), 2)]
        self._sums = [math.fsum(pair) / len(pair) for pair in pairs]
        self._counts = [1] * len(pairs)
        self.count, self._size = len(pairs), 1

    def mean(self) -> float | None:
        """The mean of all, or None of nothing."""
        return None if not self.count else math.fsum(self._sums) / self.count

    def fifths(self) -> list[float]:
        """Means over five equal parts in order; fewer when there are fewer numbers."""
        blocks = len(self._sums)
        parts = min(_FIFTHS, blocks)
        means = []
        for part in range(parts):
            first, last = part * blocks // parts, (part + 1) * blocks // parts
            count = sum(self._counts[first:last])
            means.append(math.fsum(self._sums[first:last]) / count)
        return means

    def state_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "count": self.count,
            "size": self._size,
            "sums": list(self._sums),
            "counts": list(self._counts),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self.count = int(state["count"])
        self._size = int(state["size"])
        self._sums = [float(value) for value in state["sums"]]
        self._counts = [int(value) for value in state["counts"]]
        sound = len(self._counts) == len(self._sums) <= _MOST_BLOCKS
        if not sound or min([self.count + 1, self._size, *self._counts]) < 1:
            raise ValueError("it counts other numbers than it holds")


class Clipping:
    """Tells from norms alone whether the loop clips its gradients.

    >>> clipping = Clipping()
    >>> for norm in (0.3, 0.9999996, 0.9999998, 0.7, 0.9999997):
    ...     clipping.see(norm)
    >>> round(clipping.bound, 3)
    1.0
    """

    def __init__(self) -> None:
        self._highest = 0.0
        self._count = 0

    def see(self, norm: float) -> None:
        """One more norm, as a step found it."""
        if norm > self._highest * (1 + _SAME_NORM):
            self._highest, self._count = norm, 1
        elif norm >= self._highest * (1 - _SAME_NORM):
            self._count += 1

    @property
    def bound(self) -> float | None:
        """What the norm is cut to; None where no clipping shows."""
        return self._highest if self._count >= _CLIPPED and self._highest else None

    def state_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"highest": self._highest, "count": self._count}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self._highest = float(state.get("highest", 0.0))
        self._count = int(state.get("count", 0))


class IntervalStatistics:
    """What is seen of training between two decisions.

    Attributes:
        step: optimizer steps observed since the run began.
        interval: optimizer steps observed since the last decision.
        seen: losses since then.
        recent: the newest 128 losses, for the guard's bounds.
        reach: the highest mean over 32 losses yet, or None.
        steps_to_norm: until the norm of the gradients is wanted, which `norm_comes`
            sets; whoever sees the steps counts it down.
    """

    def __init__(
        self, *, seed: int, draws: int = 10, expected: int | None = None
    ) -> None:
        """Start watching.

        Args:
            seed: of the draw of losses.
            draws: losses that an observation shows.
            expected: steps an interval is expected to have; sets how often the
                gradient norm is taken.
        """
        self.step = 0
        self.recent: deque[float] = deque(maxlen=_RECENT)
        self.reach: float | None = None
        self._random = random.Random(seed)
        self._draws = draws
        self._expected = expected
        self._begin()

    def _begin(self) -> None:
        self.interval = 0
        self.seen = 0
        self.losses = Thinned()
        self.norms = Thinned()
        self.clipping = Clipping()
        self._drawn: list[list[float]] = []
        self._stride = max(1, (self._expected or 100) // _NORMS_WANTED)
        self.steps_to_norm = self._stride

    def restart(self) -> None:
        """A decision has been made: a new interval begins."""
        self._expected = self.interval or self._expected
        self._begin()

    def see(self, loss: float, steps: int = 1) -> None:
        """One more loss, after so many optimizer steps."""
        turn = (self.step + steps) // 32 > self.step // 32
        self.step += steps
        self.interval += steps
        self.seen += 1
        self.recent.append(loss)
        if math.isfinite(loss):
            self.losses.add(loss)
        if turn or self.reach is None:
            newest = [x for x in list(self.recent)[-32:] if math.isfinite(x)]
            if newest:
                mean = math.fsum(newest) / len(newest)
                self.reach = mean if self.reach is None else max(self.reach, mean)
        if len(self._drawn) < self._draws:
            self._drawn.append([self.step, loss])
            return
        place = self._below(self.seen)
        if place < self._draws:
            self._drawn[place] = [self.step, loss]

    def _below(self, bound: int) -> int:
        # What `randrange` draws, without the half dozen of calls that it makes.
        bits = bound.bit_length()
        drawn = self._random.getrandbits(bits)
        while drawn >= bound:
            drawn = self._random.getrandbits(bits)
        return drawn

    def norm_comes(self) -> None:
        """It is taken now, and those of the looks before have been seen."""
        if self.norms.count >= 2 * _NORMS_WANTED:
            # The interval is longer than expected: from now on each look stands for
            # twice as many steps, and those so far are as many as if it always had.
            self.norms.halve()
            self._stride *= 2
        self.steps_to_norm = self._stride

    def see_norm(self, norm: float) -> None:
        """The norm of the whole gradient, as a step found it."""
        if math.isfinite(norm):
            self.norms.add(norm)
            self.clipping.see(norm)

    def draw(self) -> list[list[float]]:
        """`[step, loss]` pairs drawn at random from the interval, by step."""
        return sorted(list(pair) for pair in self._drawn)

    def state_dict(self) -> dict[str, Any]:
        """Plain data."""
        version, numbers, gauss = self._random.getstate()
        return {
            "step": self.step,
            "interval": self.interval,
            "seen": self.seen,
            "recent": list(self.recent),
            "reach": self.reach,
            "random": [version, list(numbers), gauss],
            "drawn": [list(pair) for pair in self._drawn],
            "losses": self.losses.state_dict(),
            "norms": self.norms.state_dict(),
            "clipping": self.clipping.state_dict(),
            "expected": self._expected,
            "stride": self._stride,
            "steps_to_norm": self.steps_to_norm,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        expected, reach = state["expected"], state["reach"]
        self._expected = None if expected is None else int(expected)
        self._begin()
        self.step = int(state["step"])
        self.interval = int(state["interval"])
        self.seen = int(state.get("seen", self.interval))
        self.recent = deque((float(loss) for loss in state["recent"]), maxlen=_RECENT)
        self.reach = None if reach is None else float(reach)
        version, numbers, gauss = state["random"]
        self._random.setstate((version, tuple(numbers), gauss))
        self._drawn = [[int(step), float(loss)] for step, loss in state["drawn"]]
        self.losses.load_state_dict(state["losses"])
        self.norms.load_state_dict(state["norms"])
        self.clipping.load_state_dict(state.get("clipping", {}))
        self._stride = max(1, int(state["stride"]))
        self.steps_to_norm = int(state["steps_to_norm"])
