import json

import pytest

from dux_prompts.observation import Observation, ObservationError
from tests.observations import BASE, MODEL, first, later


def test_an_observation_survives_json_and_back():
    observation = later()

    restored = Observation.from_dict(json.loads(json.dumps(observation.as_dict())))

    assert observation == restored


def test_as_dict_shares_nothing_with_the_observation():
    observation = first()

    observation.as_dict()["model"]["layers"].clear()

    assert 3 == len(observation.model["layers"])


def test_live_things_in_an_observation_are_named_with_their_place():
    class Tensor:
        pass

    with pytest.raises(ObservationError, match=r"losses\[0\]\[1\] holds a Tensor"):
        first(losses=[[1, Tensor()]])


def test_keys_must_be_text():
    with pytest.raises(ObservationError, match="last has the key 1"):
        first(last={1: "applied"})


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("step", -1, "step is -1; wanted a whole number of at least 0"),
        ("step", 1.5, "step is 1.5"),
        ("decision", 0, "decision is 0; wanted a whole number of at least 1"),
        ("total_steps", 0, "total_steps is 0; wanted at least 1, or None"),
        ("losses", [[1, 2, 3]], r"losses holds \[1, 2, 3\]; wanted \[step, loss\]"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(field, value, said):
    with pytest.raises(ObservationError, match=said):
        first(**{field: value})


def test_from_dict_names_what_is_missing_and_what_is_unknown():
    with pytest.raises(ObservationError) as caught:
        Observation.from_dict({"model": MODEL, "base_optimizer": BASE, "steps": 3})

    assert "unknown field 'steps'" in str(caught.value)
    assert "no field 'interval'" in str(caught.value)
    assert "Observation.as_dict()" in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "ahead"),
    [
        ({}, 135),
        ({"decisions_left": 0}, 540),
        ({"step": 600}, 75),
        ({"total_steps": None}, 135),
        ({"total_steps": None, "decisions_left": 0}, None),
    ],
)
def test_the_last_rule_runs_to_the_end_and_others_for_one_interval(changes, ahead):
    observation = first(**changes)

    assert ahead == observation.steps_to_next_decision
