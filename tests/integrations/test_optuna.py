"""LMSampler is held by Optuna's own test cases, and by what it promises beside them."""

import gc
import json
import logging
import pickle
from functools import partial

import pytest
from langgraph.types import RetryPolicy

from dux_agent.errors import BadArgument
from tests.talking import Scripted

optuna = pytest.importorskip("optuna")
from optuna.distributions import (  # noqa: E402
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.testing.pytest_samplers import (  # noqa: E402
    BasicSamplerTestCase,
    RelativeSamplerTestCase,
    SingleOnlySamplerTestCase,
)
from optuna.trial import TrialState  # noqa: E402

from dux_agent.integrations.optuna import LMSampler  # noqa: E402

AT_ONCE = RetryPolicy(initial_interval=0.0, max_attempts=2, jitter=False)
SPACE = {
    "lr": FloatDistribution(1e-5, 1.0, log=True),
    "wd": FloatDistribution(0.0, 1.0, step=0.1),
    "n": IntDistribution(2, 10, step=2),
    "opt": CategoricalDistribution(["adam", "sgd"]),
}


@pytest.fixture(autouse=True)
def _quiet():
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(before)


class TestByOptuna(
    BasicSamplerTestCase, RelativeSamplerTestCase, SingleOnlySamplerTestCase
):
    """Every test that Optuna has for a sampler of one objective."""

    @pytest.fixture
    def sampler(self):
        return partial(LMSampler, seed=0)


def says(lr=0.1, wd=0.3, n=4, opt="adam"):
    return "So.\n" + json.dumps({"lr": lr, "wd": wd, "n": n, "opt": opt})


def model(*replies):
    return Scripted(replies=list(replies), asked=[])


def value_of(trial):
    lr = trial.suggest_float("lr", 1e-5, 1.0, log=True)
    wd = trial.suggest_float("wd", 0.0, 1.0, step=0.1)
    n = trial.suggest_int("n", 2, 10, step=2)
    return lr + wd + n + (trial.suggest_categorical("opt", ["adam", "sgd"]) == "sgd")


def test_one_call_a_trial_and_each_says_who_and_why():
    lm = model(says(0.1), says(0.01), says(0.001))
    study = optuna.create_study(sampler=LMSampler(lm=lm, space=SPACE))

    study.optimize(value_of, n_trials=3)

    assert [0.1, 0.01, 0.001] == [trial.params["lr"] for trial in study.trials]
    assert 3 == len(lm.asked)
    assert [("lm", "So.")] * 3 == [
        (t.user_attrs["dux:by"], t.user_attrs["dux:why"]) for t in study.trials
    ]


def test_without_a_space_the_first_trial_is_random_and_says_so():
    lm = model(says(0.5))
    study = optuna.create_study(sampler=LMSampler(lm=lm))

    study.optimize(value_of, n_trials=2)

    assert ["random", "lm"] == [t.user_attrs["dux:by"] for t in study.trials]
    assert 0.5 == study.trials[1].params["lr"]


@pytest.mark.parametrize(
    "bad", [says(lr=5.0), says(n=3), says(opt="lion"), says(wd=0.25), "no", says(n=2.5)]
)
def test_a_proposal_outside_the_space_is_asked_for_again_and_never_swapped(bad):
    lm = model(bad, says(0.125))
    study = optuna.create_study(sampler=LMSampler(lm=lm, space=SPACE))

    study.optimize(value_of, n_trials=1)

    assert 0.125 == study.trials[0].params["lr"]
    assert "lm" == study.trials[0].user_attrs["dux:by"]
    assert 2 == len(lm.asked)


@pytest.mark.parametrize("reply", ["never", ConnectionError("gone")])
def test_what_cannot_be_had_is_a_loud_random_draw(reply, caplog):
    lm = model(reply)
    sampler = LMSampler(lm=lm, space=SPACE, max_attempts=2, retry=AT_ONCE, seed=1)
    study = optuna.create_study(sampler=sampler)

    with caplog.at_level(logging.WARNING):
        study.optimize(value_of, n_trials=1)

    assert "fallback" == study.trials[0].user_attrs["dux:by"]
    assert "drawn at random" in caplog.text


@pytest.mark.parametrize("reply", ["never", ConnectionError("gone")])
def test_or_the_trial_fails_with_the_error(reply):
    sampler = LMSampler(lm=model(reply), space=SPACE, on_failure="raise", retry=AT_ONCE)
    study = optuna.create_study(sampler=sampler)

    with pytest.raises(Exception, match="refused|gone"):
        study.optimize(value_of, n_trials=1)

    # Optuna leaves a trial open whose sampler raised before it began.
    assert TrialState.COMPLETE not in {trial.state for trial in study.trials}


def test_failed_and_pruned_trials_are_told():
    lm = model(says(0.1), says(0.2), says(0.3))
    study = optuna.create_study(sampler=LMSampler(lm=lm, space=SPACE))

    def fails(trial):
        lr = value_of(trial) and trial.params["lr"]
        if lr == 0.1:
            raise ZeroDivisionError("by zero")
        if lr == 0.2:
            trial.report(0.75, step=3)
            raise optuna.TrialPruned
        return lr

    study.optimize(fails, n_trials=3, catch=(ZeroDivisionError,))

    told = lm.asked[2][-1].text
    assert "failed: no value" in told
    assert "pruned at step 3, where it was 0.75" in told


def test_enqueued_trials_are_evaluated_and_told():
    lm = model(says(0.3))
    study = optuna.create_study(sampler=LMSampler(lm=lm, space=SPACE))
    study.enqueue_trial({"lr": 0.7, "wd": 0.2, "n": 6, "opt": "sgd"})

    study.optimize(value_of, n_trials=2)

    assert 0.7 == study.trials[0].params["lr"]
    assert ["enqueued", "lm"] == [t.user_attrs["dux:by"] for t in study.trials]
    assert 1 == len(lm.asked)
    assert "0.7" in lm.asked[-1][-1].text


def test_higher_is_better_where_the_study_says_so():
    lm = model(says())
    study = optuna.create_study(
        direction="maximize", sampler=LMSampler(lm=lm, space=SPACE)
    )

    study.optimize(value_of, n_trials=1)

    assert "Higher values are better" in lm.asked[0][-1].text


def test_choices_that_are_objects_or_read_alike_go_by_their_names():
    choices = CategoricalDistribution([None, True, "true", 1.5])
    lm = model('{"c": "True"}', '{"c": "\'true\'"}', '{"c": "None"}')
    study = optuna.create_study(sampler=LMSampler(lm=lm, space={"c": choices}))

    study.optimize(
        lambda t: float(len(str(t.suggest_categorical("c", choices.choices)))),
        n_trials=3,
    )

    assert [True, "true", None] == [trial.params["c"] for trial in study.trials]


def test_what_only_some_trials_use_is_asked_for_where_a_choice_tells_which():
    def branches(trial):
        if trial.suggest_categorical("k", ["a", "b"]) == "a":
            return trial.suggest_float("x", 0.0, 1.0)
        return trial.suggest_float("y", 5.0, 6.0)

    lm = model('{"k": "b", "y": 5.25}', '{"k": "a", "x": 0.75}')
    study = optuna.create_study(sampler=LMSampler(lm=lm))
    for config in ({"k": "a", "x": 0.5}, {"k": "b", "y": 5.5}):
        study.enqueue_trial(config)

    study.optimize(branches, n_trials=4)

    assert [{"k": "b", "y": 5.25}, {"k": "a", "x": 0.75}] == [
        trial.params for trial in study.trials[2:]
    ]


@pytest.mark.filterwarnings("ignore:unclosed database:ResourceWarning")
@pytest.mark.parametrize("jobs", [1, 3])
def test_a_database_and_parallel_trials_work(jobs, tmp_path):
    storage = f"sqlite:///{tmp_path / 'study.db'}"
    study = optuna.create_study(sampler=LMSampler(space=SPACE), storage=storage)

    study.optimize(value_of, n_trials=6, n_jobs=jobs)
    again = optuna.load_study(study_name=study.study_name, storage=storage)

    assert [TrialState.COMPLETE] * 6 == [trial.state for trial in again.trials]
    assert {"offline rule"} == {t.user_attrs["dux:by"] for t in again.trials}
    assert 6 == len({json.dumps(t.params, sort_keys=True) for t in again.trials})
    del study, again
    gc.collect()  # Optuna's connections: Python warns of open ones since 3.13


def test_a_sampler_is_pickled_and_goes_on():
    sampler = pickle.loads(pickle.dumps(LMSampler(space=SPACE, seed=3)))
    study = optuna.create_study(sampler=sampler)

    study.optimize(value_of, n_trials=2)

    assert 2 == sampler.usage["calls"]


def test_several_objectives_are_refused_with_words():
    study = optuna.create_study(
        directions=["minimize", "maximize"], sampler=LMSampler()
    )

    with pytest.raises(BadArgument, match="2 objectives"):
        study.ask()


@pytest.mark.parametrize(
    "options",
    [
        {"lm": "nobody"},
        {"on_failure": "hide"},
        {"max_attempts": 0},
        {"seed": -1},
        {"seed": 1 << 40},
        {"task": 3},
        {"lm_timeout": 0},
        {"space": 3},
        {"space": {"x": 3}},
    ],
    ids=str,
)
def test_what_cannot_be_meant_is_refused_at_once(options):
    with pytest.raises(BadArgument):
        LMSampler(**options)
