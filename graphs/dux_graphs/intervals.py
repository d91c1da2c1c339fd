"""How sure the mean of a few values is."""

import math
import statistics
from collections.abc import Sequence

# Student's t at 97.5 %, by degrees of freedom from 1; beyond, the normal's.
_T = (12.71, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
_NORMAL = 1.96


def half_interval(values: Sequence[float]) -> float:
    """Half the width of the 95 % interval of a mean; of at least two finite values."""
    free = len(values) - 1
    t = _T[free - 1] if free <= len(_T) else _NORMAL
    return t * statistics.stdev(values) / math.sqrt(len(values))


def probability(values: Sequence[float]) -> float:
    """The p of Student's t-test that their mean is 0, two-sided.

    Of at least two finite values; exact, by the finite sums for whole degrees of
    freedom (Abramowitz and Stegun, 26.7.3 and 26.7.4).

    >>> round(probability([1.0, 2.0, 3.0]), 6)
    0.07418
    """
    free, mean = len(values) - 1, statistics.fmean(values)
    error = statistics.stdev(values) / math.sqrt(len(values))
    if not error:
        return float(not mean)
    angle = math.atan(abs(mean) / error / math.sqrt(free))
    cosine = math.cos(angle)
    odd = free % 2
    term, total = (cosine, 0.0) if odd else (1.0, 0.0)
    for at in range(odd, free - 1, 2):
        total += term
        term *= cosine**2 * (at + 1) / (at + 2)
    within = math.sin(angle) * total
    if odd:
        within = 2 / math.pi * (angle + within)
    return max(0.0, 1.0 - within)
