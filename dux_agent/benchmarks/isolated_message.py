"""What a message there and back and the mirror add to the step of a small model."""

from dux_agent.benchmarks.measurement import Measurement
from dux_agent.benchmarks.two_steps import median_steps

WEIGHTS = 100_000
ROUNDS = 400
BAR = 250.0  # microseconds


def measure(weights: int = WEIGHTS, rounds: int = ROUNDS) -> Measurement:
    """Microseconds that isolation adds to a step.

    Args:
        weights: how many float32 weights are stepped.
        rounds: steps of each kind.
    """
    inline, isolated = median_steps(weights, tensors=10, rounds=rounds)
    return Measurement(
        name="what isolation adds to a small step",
        value=1e6 * (isolated - inline),
        bar=BAR,
        unit="us",
        detail=f"AdamW, {weights:,} weights; median of {rounds}, "
        f"{1e6 * isolated:.0f} us against {1e6 * inline:.0f} us",
    )
