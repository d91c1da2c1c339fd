"""What the comparison on the family says of losses, and that it keeps what it found."""

import math

import pytest

from dux_agent.benchmarks import family
from dux_agent.benchmarks.paired import Paired, geometric_mean
from dux_agent.errors import BadArgument

CONTROLS = [1.0, 1.1, 0.9, 1.05, 0.95]


@pytest.mark.parametrize(
    ("factor", "word"), [(1.5, "worse"), (0.5, "better"), (1.01, "noise")]
)
def test_a_loss_that_differs_alike_for_every_seed_is_called_by_its_name(factor, word):
    paired = Paired([factor * each for each in CONTROLS], CONTROLS)

    assert word == paired.word
    assert factor == pytest.approx(paired.ratio)


def test_what_differs_by_no_more_than_the_seeds_do_is_noise():
    assert "noise" == Paired([1.3, 0.9, 1.1, 0.95, 1.2], CONTROLS).word


def test_one_seed_alone_is_never_more_than_noise():
    assert "noise" == Paired([9.0], [1.0]).word


def test_the_half_width_is_that_of_students_t():
    mean, half = Paired([2.0, 3.0, 4.0], [1.0, 1.0, 1.0]).change

    assert (2.0, pytest.approx(4.303 / math.sqrt(3), rel=1e-3)) == (mean, half)


def test_a_control_that_diverged_is_left_out_and_a_run_that_did_is_worse():
    assert Paired([1.0], [math.nan]).ratio is None
    assert "worse" == Paired([math.nan, 1.0], [1.0, 1.0]).word


def test_a_geometric_mean_is_that_of_the_logarithms():
    assert 2.0 == pytest.approx(geometric_mean([1.0, 4.0]))


def test_every_method_trains_from_the_same_weights_and_what_is_kept_is_read(
    tmp_path, monkeypatch
):
    first = list(family.compare(["logistic@adam"], 1, tmp_path))
    kept = sorted(tmp_path.rglob("*.json"))
    monkeypatch.delattr("dux_agent.tasks.build")  # nothing is built any more
    again = list(family.compare(["logistic@adam"], 1, tmp_path))

    assert first == again
    assert 3 == len(kept)
    (one,) = first
    assert 0 < one.offline.losses[0] < 1 and 0 < one.recipe.losses[0] < 1
    assert one.offline.losses != one.recipe.losses != one.offline.controls
    assert "logistic@adam" in str(one)


def test_a_suite_that_is_no_purpose_is_refused():
    with pytest.raises(BadArgument, match="train, validation, test"):
        family.tell("paper32", 1, None, print)
