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
