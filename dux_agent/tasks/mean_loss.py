"""A mean loss that knows how far it may be off."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, stdev


class MeanLoss(float):
    """A mean over batches, and its standard error.

    Return one from `validate` and the language model is told how noisy validation is:

    >>> loss = MeanLoss.of([0.5, 0.7, 0.6])
    >>> round(loss, 3), round(loss.standard_error, 3)
    (0.6, 0.058)

    Attributes:
        standard_error: of the mean, in its unit; None: nobody knows it.
    """

    standard_error: float | None

    def __new__(cls, mean: float, standard_error: float | None = None) -> MeanLoss:
        """A mean that was computed elsewhere."""
        made = super().__new__(cls, mean)
        made.standard_error = standard_error
        return made

    @classmethod
    def of(cls, losses: Sequence[float]) -> MeanLoss:
        """The mean of the losses of batches of one size."""
        return cls(fmean(losses), standard_error(losses))

    def __reduce__(self) -> tuple[type[MeanLoss], tuple[float, float | None]]:
        return MeanLoss, (float(self), self.standard_error)


def standard_error(losses: Sequence[float]) -> float | None:
    """Of the mean of these; None where they are too few, or not all finite."""
    if len(losses) < 2 or not all(map(math.isfinite, losses)):
        return None
    return stdev(losses) / math.sqrt(len(losses))
