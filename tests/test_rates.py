"""What a scheduler did to a proposal's rate is done to the incumbent's."""

import pytest

from dux_agent.live.rates import RateTrail


def after_swap(before, incumbent, proposal, rates):
    """A trail of rates before a swap and after it, each seen before one step."""
    trail = RateTrail(before[0])
    for rate in before:
        trail.look(rate)
    trail.swapped(proposal)
    for rate in rates:
        trail.look(rate)
    return trail.due(incumbent, rates[-1] if rates else proposal)


def test_an_untouched_rate_comes_back_exactly():
    assert 0.1 == after_swap([0.1], 0.1, 0.003, [])
    assert 0.1 == after_swap([0.1], 0.1, 0.003, [0.003, 0.003])


@pytest.mark.parametrize("proposal", [0.001, 0.05, 0.1, 0.4])
@pytest.mark.parametrize("factor", [0.1, 0.5, 0.9, 0.999])
def test_factors_are_put_on_the_incumbents_rate(factor, proposal):
    before = [0.1 / factor, 0.1]
    rates = [proposal * factor ** (step + 1) for step in range(5)]

    due = after_swap(before, 0.1, proposal, rates)

    assert due == pytest.approx(0.1 * factor**5)


@pytest.mark.parametrize("proposal", [0.001, 0.06, 0.4])
@pytest.mark.parametrize("factor", [0.5, 0.9, 0.99])
def test_a_rate_that_a_scheduler_computes_anew_stays(factor, proposal):
    before = [0.1 / factor, 0.1]
    rates = [0.1 * factor ** (step + 1) for step in range(5)]

    assert rates[-1] == after_swap(before, 0.1, proposal, rates)


def test_what_a_rule_makes_of_its_own_rate_does_not_count():
    trail = RateTrail(0.1)
    trail.swapped(0.01)
    trail.look(0.01)
    trail.skip(0.5)
    trail.look(0.5)

    assert 0.1 == trail.due(0.1, 0.5)
