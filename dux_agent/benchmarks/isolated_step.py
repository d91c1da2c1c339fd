"""What a step in the rule's own process costs over the same step in the trainer.

AdamW as a rule, 25 million weights: both steps run turn and turn about, so that
whatever else the machine does falls on both; the figure is the ratio of their medians.
"""

from __future__ import annotations

from dux_agent.benchmarks.measurement import Measurement
from dux_agent.benchmarks.two_steps import median_steps

WEIGHTS = 25_000_000
ROUNDS = 15
BAR = 1.15  # times


def measure(weights: int = WEIGHTS, rounds: int = ROUNDS) -> Measurement:
    """The isolated step's time in units of the inline step's.

    Args:
        weights: how many float32 weights are stepped.
        rounds: steps of each kind.
    """
    inline, isolated = median_steps(weights, tensors=25, rounds=rounds)
    return Measurement(
        name="an isolated step against an inline one",
        value=isolated / inline,
        bar=BAR,
        unit="times",
        detail=f"AdamW, {weights:,} weights; median of {rounds}, "
        f"{1e3 * isolated:.2f} ms against {1e3 * inline:.2f} ms",
    )
