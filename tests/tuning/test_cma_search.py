"""CMA-ES learns from every trial of a study, also from those that others proposed."""

import json

import pytest

from dux_agent import real, tune, whole
from dux_agent.benchmarks.scripted_model import ScriptedModel
from dux_agent.tuning.cma_search import CmaSearch
from dux_agent.tuning.reading import read_study
from dux_agent.tuning.replaying import replay_study
from dux_agent.tuning.tune import resume
from dux_agent.tuning_tasks.toys import TOYS
from dux_prompts.tuning.space import Space

pytest.importorskip("cmaes")

SPACE = {
    "x": real(-5.0, 5.0),
    "n": whole(1, 9),
    "lr": real(1e-5, 1.0, log=True),
}


def value_of(config):
    return (config["x"] - 3) ** 2 + abs(config["n"] - 7) + 10 * abs(config["lr"] - 0.01)


def told_of_draws(others, own):
    """A search that was told of its own proposals, or of as many by somebody else."""
    search = CmaSearch(Space(SPACE), 0)
    for number in range(60):
        proposed = search.ask()
        if others and number % 2:
            search.passed_over(proposed)
            proposed = {"x": 3.0, "n": 7, "lr": 0.01 + number / 1e5}
        search.told(proposed, own(proposed))
    return search.about()


def test_alone_it_comes_nearer_to_the_lowest_value():
    study = tune(value_of, SPACE, lm=None, then="cmaes", budget=90)

    first = min(trial.value for trial in study.trials[:15])
    assert study.best.value < first
    assert study.best.value < 0.5


def test_trials_of_others_move_its_mean():
    alone, beside = (told_of_draws(others, lambda c: 0.0) for others in (False, True))
    helped = told_of_draws(True, value_of)

    assert alone["mean"] != beside["mean"]
    assert abs(helped["mean"]["x"] - 3) < 1.5
    assert abs(helped["mean"]["n"] - 7) <= 2


def test_it_begins_round_the_best_trial_that_it_was_told():
    search = CmaSearch(Space(SPACE), 0)
    search.told({"x": -4.5, "n": 2, "lr": 1e-4}, 3.0)
    search.told({"x": 4.5, "n": 9, "lr": 0.5}, 9.0)
    search.told({"x": 0.0, "n": 5, "lr": 1e-2}, None)

    assert {} == search.about()
    search.ask()

    assert {"x": -4.5, "n": 2, "lr": 1e-4} == pytest.approx(search.about()["mean"])


def test_what_is_told_of_it_leaves_its_next_proposal_as_it_was():
    one, other = (CmaSearch(Space(SPACE), 4) for _ in range(2))
    for _ in range(20):
        config = one.ask()
        assert config == other.ask()
        assert set(one.about()["spread"]) == set(SPACE)
        for each in (one, other):
            each.told(config, value_of(config))


@pytest.mark.parametrize("value", [None, 1.0])
def test_a_generation_of_failures_or_of_equals_ends_nothing(value):
    search = CmaSearch(Space(SPACE), 0)
    for _ in range(40):
        config = search.ask()
        search.told(config, value)

    assert [] == Space(SPACE).problems(search.ask())


def test_one_number_is_a_space_too():
    study = tune(
        lambda config: (config["x"] - 1) ** 2,
        {"x": real(-5.0, 5.0)},
        lm=None,
        then="cmaes",
        budget=60,
    )

    assert study.best.value < 0.1


@pytest.mark.parametrize("options", [{"lm_first": 4}, {"lm_share": 0.4}])
def test_beside_a_model_it_is_recorded_and_replayed(options, tmp_path):
    toy = TOYS["branin"]
    model = ScriptedModel(space=Space(toy.space), seed=2)
    study = tune(
        toy,
        toy.space,
        lm=model,
        then="cmaes",
        budget=24,
        name="toy:branin",
        run_dir=tmp_path / "run",
        **options,
    )
    again = resume(tmp_path / "run", toy, lm=model)

    assert {"lm", "cmaes"} <= {trial.by for trial in study}
    assert [t.config for t in study] == [t.config for t in again]
    assert [] == replay_study(tmp_path / "run")[1]
    if "lm_share" in options:
        asked = json.dumps([t.prompts for t in read_study(tmp_path / "run").trials])
        assert "cmaes searches about {" in asked


def test_several_at_a_time_are_told_together():
    study = tune(value_of, SPACE, lm=None, then="cmaes", budget=24, workers=3)

    assert 24 == len(study)
    assert 24 == len({json.dumps(trial.config) for trial in study})
