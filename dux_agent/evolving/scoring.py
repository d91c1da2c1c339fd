"""What a score is made of: losses beside a reference's, and what a rule costs."""

import math
from collections.abc import Mapping
from typing import Any

from dux_graphs.evolution.syntax import lines_of


def log_ratio(loss: float, reference: float) -> float:
    """The logarithm of a loss over the reference's; of 0 that of a tiny number.

    >>> log_ratio(1.0, 1.0)
    0.0
    """
    return math.log(max(loss, 1e-12) / max(reference, 1e-12))


def cost_of(source: str, answer: Mapping[str, Any]) -> dict[str, float]:
    """What a rule costs, by the names of `dux_agent.evolving.plan.PRICES`.

    Args:
        answer: of its trainings.
    """
    cost = {"lines": lines_of(source), "steps": max(0.0, answer["steps"] - 1)}
    return cost | {name: answer[name] for name in ("seconds", "bytes")}


def price_of(cost: Mapping[str, float], prices: Mapping[str, float]) -> float:
    """What that adds to a score."""
    return math.fsum(prices[name] * cost[name] for name in prices)
