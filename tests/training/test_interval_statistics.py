"""Losses in, figures out, in bounded memory and the same for the same seed."""

import math

import pytest
import torch

from dux_agent.live.gradients import gradient_norm, norm_on_device
from dux_agent.training.interval_statistics import IntervalStatistics, Thinned


def test_fifths_of_a_million_numbers_take_few_blocks():
    row = Thinned()
    for number in range(1_000_000):
        row.add(float(number))

    assert row.count == 1_000_000
    assert len(row.state_dict()["sums"]) <= 512
    expected = [100_000 + 200_000 * part for part in range(5)]
    assert row.fifths() == pytest.approx(expected, rel=0.02)
    assert row.mean() == pytest.approx(499_999.5)


def test_fewer_than_five_numbers_give_fewer_fifths():
    row = Thinned()

    assert [] == row.fifths()
    assert row.mean() is None
    row.add(1.0)
    row.add(3.0)
    assert [1.0, 3.0] == row.fifths()


def test_draws_are_from_the_whole_interval_in_order_and_repeat_with_the_seed():
    draws = []
    for seed in (1, 1, 2):
        watch = IntervalStatistics(seed=seed)
        for step in range(1000):
            watch.see(float(step))
        draws.append(watch.draw())

    assert draws[0] == draws[1] != draws[2]
    assert 10 == len(draws[0]) == len({step for step, _ in draws[0]})
    assert sorted(draws[0]) == draws[0]
    assert draws[0][0][0] < 500 < draws[0][-1][0]
    assert all(step == loss + 1 for step, loss in draws[0])


def test_a_new_interval_begins_after_a_decision():
    watch = IntervalStatistics(seed=0)
    for _ in range(30):
        watch.see(1.0)

    watch.restart()
    watch.see(2.0)

    assert (31, 1) == (watch.step, watch.interval)
    assert [[31, 2.0]] == watch.draw()
    assert [2.0] == watch.losses.fifths()


def test_the_norm_is_looked_at_in_every_fifth_of_short_and_long_intervals():
    for steps, expected in ((25, 25), (135, 135), (135, None), (20_000, None)):
        watch = IntervalStatistics(seed=0, expected=expected)
        due = []
        for step in range(steps):
            watch.steps_to_norm -= 1
            if watch.steps_to_norm <= 0:
                due.append(step)
                watch.norm_comes()
                watch.norms.add(1.0)
            watch.see(1.0)
        fifths = [sum(5 * step // steps == part for step in due) for part in range(5)]

        assert min(fifths) >= 3
        assert len(due) <= max(30, 250)


def test_norms_of_a_long_interval_are_told_by_fifths_of_its_steps():
    watch = IntervalStatistics(seed=0)
    for step in range(10_000):
        watch.steps_to_norm -= 1
        if watch.steps_to_norm <= 0:
            watch.norm_comes()
            watch.norms.add(float(step))

    expected = [1_000 + 2_000 * part for part in range(5)]
    assert watch.norms.fifths() == pytest.approx(expected, abs=700)
    assert watch.norms.count <= 30


def test_losses_that_are_not_finite_spoil_no_figure():
    watch = IntervalStatistics(seed=0)
    for loss in (1.0, math.nan, math.inf, 3.0):
        watch.see(loss)

    assert 2.0 == watch.losses.mean()
    assert math.isfinite(watch.reach)


def test_a_watch_goes_on_from_its_state():
    whole, half = IntervalStatistics(seed=5), IntervalStatistics(seed=5)
    for step in range(200):
        whole.see(float(step))
        if step < 90:
            half.see(float(step))
    rest = IntervalStatistics(seed=0)

    rest.load_state_dict(half.state_dict())
    for step in range(90, 200):
        rest.see(float(step))

    assert whole.state_dict() == rest.state_dict()


def test_the_gradient_norm_is_that_of_all_gradients_together():
    one, other, frozen = (torch.nn.Parameter(torch.zeros(2)) for _ in range(3))
    one.grad, other.grad = torch.tensor([3.0, 0.0]), torch.tensor([0.0, 4.0])
    table = torch.nn.Embedding(3, 2, sparse=True)
    table(torch.tensor([1])).sum().backward()

    assert 5.0 == gradient_norm([one, other, frozen])
    assert gradient_norm([frozen]) is None
    assert gradient_norm([table.weight]) == pytest.approx(math.sqrt(2))


def test_the_norm_of_gradients_that_have_a_graph_has_none():
    weight, other = (torch.nn.Parameter(torch.ones(2)) for _ in range(2))
    loss = (weight.pow(3) * other).sum()
    pair = torch.autograd.grad(loss, [weight, other], create_graph=True)
    weight.grad, other.grad = pair

    norm = norm_on_device([weight, other])

    assert weight.grad.requires_grad
    assert not norm.requires_grad
    assert math.sqrt(2 * 3**2 + 2) == pytest.approx(float(norm))
