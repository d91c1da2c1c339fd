"""The dry run refuses harm, and by default nothing but harm."""

import math

import pytest

from dux_sandbox.dry_runs.acceptance import gained, judge, met_again

CALM = [2.30, 2.29, 2.31, 2.28, 2.30, 2.27]


@pytest.mark.parametrize("accept", ["finite", "harmless", "not_worse"])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_nonfinite_loss_is_refused_whatever_is_asked(accept, bad):
    (finding,) = judge([2.3, 2.2, bad], CALM, accept)

    assert "nonfinite" == finding.rule
    assert "after 2 steps" in finding.message


def test_an_exploding_loss_is_harm_unless_only_finite_is_asked():
    losses = [2.3, 2.5, 4.0, 9.0]

    assert ["harm"] == [finding.rule for finding in judge(losses, CALM, "harmless")]
    assert [] == judge(losses, CALM, "finite")


def test_a_slightly_worse_start_is_harmless_but_not_not_worse():
    losses = [2.30, 2.32, 2.35, 2.33, 2.36, 2.34]

    assert [] == judge(losses, CALM, "harmless")
    assert ["worse"] == [finding.rule for finding in judge(losses, CALM, "not_worse")]


def test_batch_noise_that_the_incumbent_shows_too_is_no_harm():
    noisy = [0.01, 0.20, 0.02, 0.25, 0.01]

    assert [] == judge([0.01, 0.22, 0.03, 0.26, 0.02], noisy, "harmless")


def test_a_negative_objective_is_judged_by_its_size():
    incumbent = [-10.0, -10.1, -10.2]

    assert [] == judge([-10.0, -9.5, -9.8], incumbent, "harmless")
    assert ["harm"] == [
        finding.rule for finding in judge([-10.0, -1.0], incumbent, "harmless")
    ]


@pytest.mark.parametrize(
    ("steps", "period", "places"),
    [(10, 5, range(5, 11)), (10, 10, range(10, 11)), (10, 4, range(6, 11)), (3, 5, [])],
)
def test_a_batch_counts_once_when_it_was_met_before(steps, period, places):
    assert [*places] == [*met_again([0.0] * (steps + 1), period)]


def test_a_gain_is_taken_on_the_same_batch():
    losses = [3.0, 1.0, 2.0, 0.5, 1.5]

    # 3.0 - 2.0, 1.0 - 0.5 and 3.0 - 1.5, and the error of their mean
    assert pytest.approx((1.0, 0.5 / math.sqrt(3))) == gained(losses, 2)
    assert (2.5, 0.0) == gained(losses[:4], 3)
    assert all(map(math.isnan, gained(losses, 5)))
