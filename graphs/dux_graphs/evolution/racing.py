"""Who goes on to dearer trainings: rungs that grow, and a paired test that cuts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dux_graphs.evolution.individual import Standing, Values
from dux_graphs.intervals import half_interval

_ONE_IN = 3  # of those on a rung goes on to the next
_FIRST_DEEPENING = 32  # evaluations; the highest rung is one more at each doubling


@dataclass(frozen=True)
class Rung:
    """One stage of trainings.

    Attributes:
        name: as the log says it.
        share: of the steps of a whole training.
        seeds: on each task, from 0 on.
    """

    name: str
    share: float
    seeds: int


def rung(place: int) -> Rung:
    """The rung at a place, from 0: half a training, a full one, twice the seeds each.

    >>> [rung(place).seeds for place in range(5)]
    [1, 1, 2, 4, 8]
    """
    if place == 0:
        return Rung("short training", 0.5, 1)
    seeds = 1 << (place - 1)
    name = "full training" if seeds == 1 else f"full training, {seeds} seeds"
    return Rung(name, 1.0, seeds)


def highest_rung(evaluations: int) -> int:
    """How high anyone climbs after so many evaluations.

    Iterative deepening: a budget that is raised later adds rungs above, and nothing
    below them is run again (after Brandt et al., Iterative deepening Hyperband, 2023).

    >>> [highest_rung(count) for count in (8, 32, 64, 200, 400)]
    [1, 1, 2, 3, 4]
    """
    doublings = max(1, evaluations // _FIRST_DEEPENING).bit_length() - 1
    return 1 + doublings


def difference(ours: Values, theirs: Values) -> tuple[float, float]:
    """Mean of the differences, pair by pair, and the half width of its 95 % interval.

    Infinite for a single pair: nothing is known of its noise.
    """
    apart = [one - other for one, other in zip(ours, theirs, strict=True)]
    mean = math.fsum(apart) / len(apart)
    return mean, half_interval(apart) if len(apart) > 1 else math.inf


def is_worse(ours: Standing, theirs: Standing, place: int) -> bool:
    """Whether one is worse on a rung by more than chance, its price apart."""
    mean, half = difference(ours.values[place], theirs.values[place])
    return mean - half > 0


def leader(standings: Iterable[Standing], place: int | None = None) -> Standing | None:
    """The best on a rung; None: of those that have climbed highest."""
    going = [each for each in standings if not each.stopped and each.rung >= 0]
    if place is None:
        return min(going, key=lambda each: each.rank, default=None)
    there = [each for each in going if each.rung >= place]
    return min(there, key=lambda each: each.score(place), default=None)


def climbers(standings: Sequence[Standing], highest: int) -> list[tuple[Standing, int]]:
    """Those that go on now, each with its next rung.

    Of those on a rung whoever is worse than its best, by a paired test, is stopped; of
    the others the best third of all that were there goes on.
    """
    found = []
    for place in range(highest):
        best = leader(standings, place)
        there = [e for e in standings if not e.stopped and e.rung >= place]
        for each in there:
            if best is None or each is best or each.rung > place:
                continue
            if is_worse(each, best, place):
                mean, half = difference(each.values[place], best.values[place])
                each.stopped = rung(place).name
                each.why = (
                    f"worse than {best.individual.number} by {100 * mean:.1f} ± "
                    f"{100 * half:.1f} %, seed by seed"
                )
        ranked = sorted(there, key=lambda each: each.score(place))
        for each in ranked[: math.ceil(len(ranked) / _ONE_IN)]:
            if each.rung == place and not each.stopped:
                found.append((each, place + 1))
    return found
