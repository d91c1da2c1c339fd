"""What a step in the rule's own process costs over the same step in the trainer.

AdamW in plain Python over 94 thousand, 25 million and 124 million weights: both steps
run turn and turn about, so that whatever else the machine does falls on both; the
figure is the ratio of their medians at 25 million, the others are told beside it.
"""

from dux_agent.benchmarks.measurement import Measurement
from dux_agent.benchmarks.two_steps import median_steps

WEIGHTS = 25_000_000
# Weights, tensors and rounds of what is told beside it: an MLP, a small GPT.
OTHERS = ((94_000, 6, 200), (124_000_000, 148, 5))
ROUNDS = 15
BAR = 1.5  # times


def measure(
    weights: int = WEIGHTS,
    rounds: int = ROUNDS,
    others: tuple[tuple[int, int, int], ...] = OTHERS,
) -> Measurement:
    """The isolated step's time in units of the inline step's.

    Args:
        weights: how many float32 weights are stepped.
        rounds: steps of each kind.
        others: further weights, tensors and rounds, for the detail.
    """
    inline, isolated = median_steps(weights, tensors=25, rounds=rounds)
    beside = []
    for count, tensors, turns in others:
        one, other = median_steps(count, tensors=tensors, rounds=turns)
        beside.append(
            f"{count:,}: {other / one:.2f} times, {1e3 * other:.2f} ms "
            f"against {1e3 * one:.2f} ms"
        )
    return Measurement(
        name="an isolated step against an inline one",
        value=isolated / inline,
        bar=BAR,
        unit="times",
        detail=f"AdamW in plain Python, {weights:,} weights; median of {rounds}, "
        + "; ".join(
            [f"{1e3 * isolated:.2f} ms against {1e3 * inline:.2f} ms", *beside]
        ),
    )
