"""The tasks of `dux tune`: they load, repeat themselves, and say what they need."""

import os
from pathlib import Path

import pytest

from dux_agent import tune
from dux_agent.errors import BadArgument, DataMissing
from dux_agent.tuning_tasks.classification import SUITES
from dux_agent.tuning_tasks.data_sets import BUNDLED, load
from dux_agent.tuning_tasks.named import build, is_task
from dux_agent.tuning_tasks.tables import TABLES
from dux_prompts.tuning.space import Space

HERE = (Path(os.environ.get("DUX_DATA", "nowhere")) / "hpo").is_dir()
needs_data = pytest.mark.skipif(not HERE, reason="DUX_DATA has no folder hpo")
OURS = [
    *(name for suite in SUITES.values() for name in suite),
    *(f"table:{name}" for name in TABLES),
]


def test_the_papers_suite_has_four_families_on_eight_data_sets():
    assert (32, 8, 10) == tuple(len(suite) for suite in SUITES.values())
    assert all(map(is_task, OURS))


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(n, marks=[] if n.split(":")[1] in BUNDLED else [needs_data])
        for n in OURS
    ],
)
def test_the_defaults_of_a_task_lie_in_its_space(name):
    task = build(name)
    space = Space(task.space)

    assert task.task.endswith(".")
    assert [] == [found for each in task.defaults for found in space.problems(each)]
    assert space.default == task.defaults[-1]


@pytest.mark.parametrize("name", ["svm:digits", "lr:wine", "mlp:wine", "rf:wine"])
def test_an_evaluation_repeats_itself(name):
    task = build(name)
    config = task.defaults[-1]

    first, second = task(config), task(config)

    assert first == second
    assert 0 <= first["value"] < 0.5
    assert 0 <= first["report"]["test_error"] < 0.5


def test_the_split_is_standardized_on_its_training_rows_alone():
    data = load("wine")

    assert (89, 44, 45) == tuple(
        map(len, (data.x_train, data.x_validation, data.x_test))
    )
    assert abs(data.x_train.mean(0)).max() < 1e-6 < abs(data.x_test.mean(0)).max()


def test_the_offline_rule_tunes_digits_within_ten_evaluations():
    task = build("svm:digits")

    study = tune(task, budget=10, task=task.task)

    assert study.best.value <= 0.020
    assert {"offline rule"} == {trial.by for trial in study}


@needs_data
def test_a_table_is_looked_up_at_the_nearest_of_its_values():
    task = build("table:vehicle")
    config = {"depth": 3, "width": 64, "batch_size": 64, "alpha": 1e-8}
    config["learning_rate_init"] = 1e-5

    exact = task(config)

    assert 0 < exact < 1
    assert exact == task(config | {"width": 66, "alpha": 1.2e-8})


def test_data_that_is_not_there_is_said_with_what_needs_none(monkeypatch):
    monkeypatch.delenv("DUX_DATA", raising=False)
    load.cache_clear()

    with pytest.raises(DataMissing, match="DUX_DATA is not set.*digits"):
        build("svm:car").task  # noqa: B018


@pytest.mark.parametrize("name", ["svm:nowhere", "ols:digits", "toy:hill", "digits"])
def test_what_is_no_task_is_said_with_the_names_that_are(name):
    with pytest.raises(BadArgument, match="toy:NAME"):
        build(name)
