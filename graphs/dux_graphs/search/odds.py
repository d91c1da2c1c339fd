"""A bandit that knows costs: who wins for little is asked more often."""

from collections.abc import Mapping
from dataclasses import dataclass

_CHEAPEST = 0.05  # of the mean cost: what costs nothing at all counts as this


@dataclass(frozen=True)
class Tally:
    """How one of several has done.

    Attributes:
        asked, wins: how often, and how often it was of use.
        cost: of all of them, in one unit for all that are compared.
        weight: of it before anything is known.
    """

    asked: int = 0
    wins: int = 0
    cost: float = 0.0
    weight: float = 1.0


def odds_of(tallies: Mapping[str, Tally]) -> dict[str, float]:
    """How likely each is asked next; they sum to 1.

    Weight times the share of wins (one won and one lost are put on top), over the
    square root of the mean cost, as in ShinkaEvolve (Lange et al. 2025).
    """
    asked = sum(each.asked for each in tallies.values())
    mean = sum(each.cost for each in tallies.values()) / asked if asked else 0.0
    worth: dict[str, float] = {}
    for name, each in tallies.items():
        dear = 1.0
        if each.asked and mean > 0:
            dear = max(_CHEAPEST, each.cost / each.asked / mean)
        worth[name] = each.weight * (1 + each.wins) / (2 + each.asked) / dear**0.5
    total = sum(worth.values())
    return {name: each / total for name, each in worth.items()}
