"""Judges how a proposed optimizer did: keep, raise, lower, cool down."""

from __future__ import annotations

from dux_graphs.offline.reading import Figures
from dux_graphs.offline.situation import FLAT, Situation

SHRINK = 0.15
"""Share by which matrices shrink over an interval when the network overfits."""

RAISE = 1.6
RAISED = "raise the rate"
"""How the comments of a source say that it raises: a raise that has not paid is known
by them."""


def judged(
    figures: Figures, situation: Situation
) -> tuple[float, float, float, tuple[str, ...]]:
    """Factor of the rate, shrinkage of matrices, share of steps averaged; and why."""
    gained, gap = situation.gained, situation.gap
    if gained is not None and gap is not None:
        if gained < 0.01 and gap > 0.05:
            return (
                0.1,
                SHRINK,
                0.8,
                (
                    "Validation has stopped falling while training fits on:"
                    " overfitting. Cool down to a tenth of the rate.",
                    f"Decoupled weight decay takes {SHRINK:.0%} off the matrices over"
                    " the coming steps: an overfitted network is too sure of itself.",
                    "The mean of most of the coming weights replaces the last ones.",
                ),
            )
        if gained < 0.15 and gap > 0.04:
            return (
                0.4,
                SHRINK / 3.0,
                0.5,
                (
                    "Validation gains little and training pulls away from it: lower"
                    " the rate, decay weights, average the later half of the steps.",
                ),
            )
    falls = max(situation.fall, gained or 0.0)
    grown = (
        len(figures.gradients) >= 2
        and figures.gradients[-1] > 1.5 * figures.gradients[0]
    )
    if falls < FLAT and grown:
        return (
            0.5,
            0.0,
            0.5,
            (
                "Flat loss under growing gradients: the steps bounce. Halve the rate"
                " and average the later half of the steps.",
            ),
        )
    if falls < FLAT and RAISED in figures.source:
        why = "Raising the rate has not paid: back to what it was."
        return 1.0 / RAISE, 0.0, 0.0, (why,)
    if falls < FLAT and not situation.noisy and figures.decisions_left != 0:
        return RAISE, 0.0, 0.0, (f"Still flat, and quiet: {RAISED} by {RAISE}.",)
    return 1.0, 0.0, 0.0, ("It works: go on, and follow the schedule.",)
