"""The evaluator that other tools take, without those tools."""

import json
import pickle

import pytest

from dux_agent.errors import BadArgument
from dux_agent.evolving.evaluator import FAILED, evaluator
from dux_sandbox.zoo import entry
from tests.evolving import tiny_tasks

TASK = f"{tiny_tasks.__file__}:chosen_by"
SGD, ADAMW = entry("sgd").source, entry("adamw").source
DIVERGES = SGD.replace("lr=1e-2", "lr=1e12")


@pytest.fixture(scope="module")
def score():
    return evaluator(TASK, laws=False, execution="inline")


def test_adamw_is_worth_nothing_but_its_price(score):
    value, told = score(ADAMW)

    assert pytest.approx(-told["price"]) == value
    assert told["losses"] == told["losses of AdamW"]
    assert {TASK} == told["losses"].keys()


def test_a_lower_loss_is_a_higher_score_and_the_same_each_time(score):
    value, told = score(SGD)

    lower = told["losses"][TASK] < told["losses of AdamW"][TASK]
    assert lower == (value > -told["price"])
    assert pytest.approx(value) == score(SGD)[0]
    assert json.loads(json.dumps(told)) == told


@pytest.mark.parametrize(
    ("source", "stage"),
    [
        ("import os", "static check"),
        ("", "static check"),
        ("not python", "static check"),
        (SGD.replace("p.add_(", "p.madeup_("), "static check"),
        (SGD.replace("super().__init__", "1 / 0; super().__init__"), "dry run"),
        (DIVERGES, "training"),
    ],
)
def test_a_source_that_fails_has_the_lowest_score_and_says_why(score, source, stage):
    value, told = score(source)

    assert FAILED == value == told["score"]
    assert told["why"]
    assert told["stage"] in (stage, "dry run")


def test_a_training_that_takes_too_long_fails():
    short = evaluator(TASK, laws=False, execution="inline", trial_seconds=20)
    short.trial_seconds = 1e-9  # of the training alone: the dry run was over before
    answer = short._train(SGD)

    assert "took more than" in answer["why"]


def test_gepa_may_hand_it_a_dict_an_example_and_more(score):
    plain, _ = score(SGD)

    assert pytest.approx(plain) == score({"optimizer": SGD})[0]
    assert pytest.approx(plain) == score(SGD, {"any": 1}, opt_state=None)[0]
    with pytest.raises(BadArgument, match="the source of an optimizer"):
        score({"one": SGD, "other": SGD})
    with pytest.raises(BadArgument, match="the source of an optimizer"):
        score(3)


@pytest.mark.parametrize(("source", "passed"), [(SGD, True), ("import os", False)])
def test_openevolve_and_shinka_are_told_in_their_own_forms(
    score, tmp_path, source, passed
):
    program = tmp_path / "program.py"
    program.write_text(source)

    metrics = score.of_file(program)
    value, _ = score.into_folder(program, tmp_path / "results")

    assert {"combined_score": pytest.approx(value), "passed": float(passed)} == metrics
    written = json.loads((tmp_path / "results" / "metrics.json").read_text())
    correct = json.loads((tmp_path / "results" / "correct.json").read_text())
    assert pytest.approx(value) == written["combined_score"]
    assert {"public", "private", "text_feedback"} <= written.keys()
    assert passed == correct["correct"] == (correct["error"] is None)
    assert passed == (written["text_feedback"] == "")


def test_it_is_sent_to_other_processes_as_it_is(score):
    again = pickle.loads(pickle.dumps(score.of_file))

    assert score == again.__self__


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"tasks": ()}, "tasks is empty"),
        ({"tasks": "nosuch"}, "nosuch"),
        ({"seeds": 0}, "seeds is 0"),
        ({"share": 0.0}, "share is 0.0"),
        ({"share": 2}, "share is 2"),
        ({"trial_seconds": 0}, "trial_seconds is 0"),
        ({"execution": "recorded"}, "execution is 'recorded'"),
        ({"prices": {"years": 1.0}}, "prices is"),
    ],
)
def test_what_cannot_be_meant_is_said_at_once(given, said):
    with pytest.raises(BadArgument, match=said):
        evaluator(**{"tasks": TASK, **given})
