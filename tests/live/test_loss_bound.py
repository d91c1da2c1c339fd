"""The bounds on the loss catch harm and leave ordinary noise alone."""

import math
import random

import pytest

from dux_agent.live.loss_bound import LossBound, LossJudge

NOISES = {
    "normal": lambda rng, share: 1 + share * rng.gauss(0, 1),
    "laplace": lambda rng, share: (
        1 + share * rng.choice((-1, 1)) * rng.expovariate(math.sqrt(2))
    ),
    "log-normal": lambda rng, share: math.exp(share * rng.gauss(0, 1) - share**2 / 2),
}


def simulated(noise, share, level, rng, steps):
    """Losses that fall from 1 to `level`, with noise as a share of the mean."""
    for step in range(steps):
        mean = level + (1 - level) * math.exp(-step / 150)
        yield mean * NOISES[noise](rng, share)


def judge_after(noise, share, rng):
    before = [1.3 - 0.3 * i / 128 for i in range(128)]
    losses = [mean * NOISES[noise](rng, share) for mean in before]
    return LossJudge(LossBound.of(losses, reach=1.3), reach=1.3)


@pytest.mark.parametrize("level", [1.0, 0.3, 0.03])
@pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
@pytest.mark.parametrize("noise", list(NOISES))
def test_noise_alone_breaks_no_bound(noise, share, level):
    rng = random.Random(f"{noise} {share} {level}")

    for _ in range(10):
        judge = judge_after(noise, share, rng)
        found = [judge.see(x) for x in simulated(noise, share, level, rng, 600)]
        assert [None] * 600 == found


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
@pytest.mark.parametrize("times", [6.0, 50.0])
def test_a_jump_for_good_is_caught_within_twenty_losses(times, share):
    rng = random.Random(3)
    judge = judge_after("normal", share, rng)
    for loss in simulated("normal", share, 0.3, rng, 400):
        assert judge.see(loss) is None

    found = [judge.see(0.37 * times * NOISES["normal"](rng, share)) for _ in range(20)]

    assert any(found)


def test_bounds_are_taken_from_weights_that_were_spoilt_before():
    spoilt = LossJudge(LossBound.of([1.0, 1.1] * 32), found=60.0)

    spoilt.begin_at(50.0)

    assert [None] * 20 == [spoilt.see(x) for x in [50.0, 60.0, 45.0, 70.0] * 5]
    assert [None] * 6 != [spoilt.see(400.0) for _ in range(6)]


@pytest.mark.parametrize(
    ("found", "first"),
    [(60.0, 1.2), (1.2, 60.0), (None, 60.0), (60.0, math.inf), (math.nan, 60.0)],
)
def test_one_high_loss_is_no_sign_of_such_weights(found, first):
    judge = LossJudge(LossBound.of([1.0, 1.1] * 32), found=found)

    judge.begin_at(first)

    assert LossBound.of([1.0, 1.1] * 32) == judge.bound


def test_a_judge_that_goes_on_knows_what_the_rule_found():
    judge = LossJudge.of(LossJudge(LossBound.of([1.0, 1.1]), found=60.0).state_dict())

    judge.begin_at(50.0)

    assert judge.see(50.0) is None


def test_one_bad_batch_is_forgiven_and_two_are_not():
    judge = LossJudge(LossBound(spike=3.0, drift=2.0, mean=1.0))

    once = judge.see(4.0)
    twice = judge.see(4.0)

    assert once is None
    assert "the loss was 4, above the bound 3" in twice


def test_a_loss_that_is_not_finite_is_a_breach_even_without_a_bound():
    judge = LossJudge(None)

    assert "not finite (nan)" in judge.see(float("nan"))
    assert "not finite (inf)" in judge.see(float("inf"))


def test_without_losses_before_the_rule_sets_its_own_bound_in_thirty_two_steps():
    judge = LossJudge(LossBound.of([]))
    for _ in range(32):
        judge.see(1.0)

    assert judge.bound is not None
    assert judge.see(1000.0) is not None


def test_what_the_dry_run_showed_is_no_spike_later():
    calm = [1.0, 1.01] * 32

    bound = LossBound.of(calm, dry_run=[1.0, 9.0, 2.0])

    assert bound.spike > 9.0


def test_losses_below_zero_have_bounds_above_them():
    bound = LossBound.of([-5.0, -5.1] * 32)

    assert bound.drift > -5.0
    assert bound.spike > bound.drift


def test_the_bounds_follow_a_falling_loss_and_never_rise():
    judge = LossJudge(LossBound.of([2.0, 2.1] * 32, reach=2.3), reach=2.3)
    first = judge.bound
    for _ in range(64):
        judge.see(0.1)
    lower = judge.bound
    for step in range(64):
        judge.see(0.1 + step / 500)

    assert lower.drift < first.drift
    assert judge.bound.drift <= lower.drift
