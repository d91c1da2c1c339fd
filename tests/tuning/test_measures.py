"""Random search's expectation is exact, and the measures are the paper's."""

import itertools
import random

import pytest

from dux_agent.tuning_tasks.measures import band, compared, expected_best


@pytest.mark.parametrize("also", [[], [(0.2, 0.9)], [(0.05, 0.7)]])
@pytest.mark.parametrize("budget", [1, 2, 3])
def test_the_expectation_is_the_mean_over_every_draw(budget, also):
    rng = random.Random(3)
    pool = [(rng.choice([0.1, 0.2, 0.3]), rng.random()) for _ in range(7)]

    validation, test = expected_best(pool, budget, also)

    bests = []
    for drawn in itertools.combinations(range(len(pool)), budget):
        rows = [pool[each] for each in drawn]
        bests.append(min(row[0] for row in [*rows, *also]))
    assert sum(bests) / len(bests) == pytest.approx(validation)
    assert 0 < test < 1


def test_of_equal_ones_the_test_error_is_their_mean():
    assert (0.1, pytest.approx(0.5)) == expected_best([(0.1, 0.4), (0.1, 0.6)], 1)
    assert (0.1, 0.3) == expected_best([(0.2, 0.9)], 1, also=[(0.1, 0.3)])


def test_a_pool_that_is_too_small_is_refused():
    with pytest.raises(ValueError, match="pool of 1"):
        expected_best([(0.1, 0.2)], 2)


def test_the_band_holds_the_mean_between_its_quantiles():
    values = [float(each) for each in range(20)]

    low, mean, high = band(values, 5)

    bests = sorted(min(draw) for draw in itertools.combinations(values, 5))
    assert sum(bests) / len(bests) == pytest.approx(mean)
    assert bests[int(0.05 * len(bests))] == low
    assert bests[int(0.95 * len(bests))] == high
    assert (0.0, 0.0, 0.0) == band(values, 20)


def test_the_columns_of_the_papers_table():
    told = compared({"ours": {"a": 0.1, "b": 0.4}}, {"a": 0.2, "b": 0.2})

    assert {
        "beats_random": 50.0,
        "median_change": -25.0,
        "mean_change": -25.0,
        "mean_rank": 1.5,
        "mean_error": 0.25,
    } == pytest.approx(told["ours"])
