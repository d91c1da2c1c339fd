"""The paper's measures: random search's exact expectation, and a method beside it."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence

Errors = tuple[float, float]
"""Validation and test error of one configuration."""


RANDOM = "random, exact"
"""What the row of random search's expectation is called."""


def expected_best(
    pool: Iterable[Errors], budget: int, also: Iterable[Errors] = ()
) -> Errors:
    """What random search reaches on average: no sampling, all draws of the pool.

    Args:
        pool: random configurations that were evaluated.
        budget: how many of them one search draws, without putting back.
        also: what every search evaluates beside its draws.

    Returns:
        The mean validation error of the best one, and the mean test error of that one;
        where several are the best, of their mean.

    Raises:
        ValueError: the pool is smaller than the budget.

    >>> expected_best([(0.1, 0.2), (0.3, 0.4)], 1)
    (0.2, 0.30000000000000004)
    """
    rows, extra = sorted(pool), sorted(also)
    if not 0 < budget <= len(rows):
        raise ValueError(
            f"budget is {budget} with a pool of {len(rows)}; at most that was wanted."
        )
    all_draws = math.comb(len(rows), budget)
    validation = test = 0.0
    start, not_better = 0, all_draws
    while not_better:
        value = rows[start][0]
        end = start
        while end < len(rows) and rows[end][0] == value:
            end += 1
        worse = math.comb(len(rows) - end, budget)
        chance = (not_better - worse) / all_draws
        best = min(value, extra[0][0]) if extra else value
        drawn = [row[1] for row in rows[start:end] if value == best]
        tests = drawn + [row[1] for row in extra if row[0] == best]
        validation += best * chance
        test += statistics.fmean(tests) * chance
        start, not_better = end, worse
    return validation, test


def band(values: Sequence[float], draws: int) -> tuple[float, float, float]:
    """The best of so many draws: its 5 % quantile, its mean, its 95 % quantile.

    Args:
        values: of the pool; lower is better.
        draws: how many are drawn, without putting back.
    """
    ranked, total = sorted(values), math.comb(len(values), draws)
    mean, so_far = 0.0, 0.0
    low = high = None
    for place, value in enumerate(ranked[: len(ranked) - draws + 1]):
        chance = math.comb(len(ranked) - place - 1, draws - 1) / total
        mean += chance * value
        so_far += chance
        low = value if low is None and so_far >= 0.05 else low
        high = value if high is None and so_far >= 0.95 - 1e-12 else high
    last = ranked[len(ranked) - draws]
    return (last if low is None else low), mean, (last if high is None else high)


def compared(
    errors: Mapping[str, Mapping[str, float]], random: Mapping[str, float]
) -> dict[str, dict[str, float]]:
    """The columns of the paper's table, for each method and for `RANDOM`.

    Args:
        errors: method -> task -> error.
        random: task -> error of random search.

    Returns:
        `beats_random`, percent of the tasks; `median_change` and `mean_change`, percent
        of random search's error, more is better, without the tasks where that is 0,
        NaN where it always is;
        `mean_rank` among all, 1 is best, equal ones share; `mean_error`.
    """
    everyone = {**errors, RANDOM: random}
    told = {}
    for name, mine in everyone.items():
        changes = [
            100 * (random[t] - mine[t]) / random[t] for t in random if random[t]
        ] or [math.nan]
        ranks = [
            _rank(mine[t], [each[t] for each in everyone.values()]) for t in random
        ]
        told[name] = {
            "beats_random": 100 * statistics.fmean(mine[t] < random[t] for t in random),
            "median_change": statistics.median(changes),
            "mean_change": statistics.fmean(changes),
            "mean_rank": statistics.fmean(ranks),
            "mean_error": statistics.fmean(mine[t] for t in random),
        }
    return told


def _rank(mine: float, everyone: Sequence[float]) -> float:
    better = sum(each < mine - 1e-12 for each in everyone)
    same = sum(abs(each - mine) <= 1e-12 for each in everyone)
    return 1 + better + (same - 1) / 2
