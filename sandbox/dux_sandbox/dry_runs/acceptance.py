"""Whether a dry run speaks against a proposal: figures in, findings out."""

import math
import statistics
from collections.abc import Sequence

from dux_sandbox.findings import Finding

ACCEPT = ("finite", "harmless", "not_worse")
WHERE_NOT_FINITE = "a smaller rate, an epsilon in every division, or clipping"

# A loss may rise by half of its size over what the incumbent shows on the same
# batch, and by six typical batch-to-batch changes. Warm-ups, cool-downs and a
# first Muon step stay well below it; a rate ten times too high does not (the
# corpus and the three tasks: benign rules rise by at most 0.2 of their size).
_RISE = 0.5
_NOISES = 6.0
_LAST = 3


def judge(
    losses: list[float], incumbent_losses: list[float], accept: str
) -> list[Finding]:
    """What is wrong with a proposal's losses, beside the incumbent's.

    Args:
        losses: before each step, and after the last one.
        incumbent_losses: on the same batches with the same random numbers.
        accept: "finite", "harmless" (the default of a dry run) or "not_worse".
    """
    for index, loss in enumerate(losses):
        if not math.isfinite(loss):
            said = f"the loss is {loss} after {index} steps"
            return [Finding("nonfinite", None, said, WHERE_NOT_FINITE)]
    if accept == "finite":
        return []
    noise = _noise(incumbent_losses)
    for index, loss in enumerate(losses):
        reference = losses[0]
        if index < len(incumbent_losses) and math.isfinite(incumbent_losses[index]):
            reference = max(reference, incumbent_losses[index])
        bound = reference + _RISE * abs(reference) + _NOISES * noise
        if loss > bound:
            said = (
                f"the loss rose from {losses[0]:.4g} to {loss:.4g} within {index} "
                f"steps (the incumbent on the same batch: {reference:.4g} or less)"
            )
            return [Finding("harm", None, said, "a smaller learning rate or a warm-up")]
    if accept == "not_worse" and incumbent_losses:
        mine = statistics.fmean(losses[-_LAST:])
        theirs = statistics.fmean(incumbent_losses[-_LAST:])
        if mine > theirs:
            said = f"the last {_LAST} losses are {mine:.5g} on average; the incumbent's"
            instead = "a rule that does at least as well within the dry run's steps"
            return [Finding("worse", None, f"{said} are {theirs:.5g}", instead)]
    return []


def met_again(losses: Sequence[float], period: int) -> range:
    """The places of losses on batches that were met before, each once, the latest.

    Args:
        losses: before each step, and after the last one.
        period: steps after which the batches come again.
    """
    return range(max(period, len(losses) - 1 - period), len(losses))


def gained(losses: Sequence[float], period: int) -> tuple[float, float]:
    """How far the loss has come down on batches that were met again.

    Args:
        losses: before each step, and after the last one.
        period: steps after which the batches come again.

    Returns:
        The mean, and its standard error; NaN where none has come again yet.
    """
    places = met_again(losses, period)
    gains = [losses[at % period] - losses[at] for at in places]
    return mean_and_error(gains) if gains else (math.nan, math.nan)


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """The mean of some numbers, and its standard error; that of one alone is 0.

    >>> mean_and_error([1.0, 3.0])
    (2.0, 1.0)
    """
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return statistics.fmean(values), spread / math.sqrt(len(values))


def _noise(losses: list[float]) -> float:
    """The typical change from one batch to the next."""
    changes = [
        abs(after - before)
        for before, after in zip(losses, losses[1:], strict=False)
        if math.isfinite(before) and math.isfinite(after)
    ]
    return statistics.median(changes) if changes else 0.0
