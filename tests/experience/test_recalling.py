from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dux_agent.errors import BadArgument
from dux_agent.experience.recalling import Experience
from dux_agent.experience.situation import Situation, distance, situation_of
from dux_graphs.events import ObservationEvent
from dux_prompts.experience import MOST_CHARACTERS, MOST_SHOWN, experience_section
from tests.experience.entries import HERE, entry
from tests.observations import first, later
from tests.run_folders import source

numbers = st.none() | st.floats(-1e6, 1e6)
names = st.sampled_from(["", "SGD", "sgd", "Adam", "muon"])
situations = st.builds(
    Situation,
    layers=st.lists(st.sampled_from(["Linear", "Conv2d", "LSTM", "ReLU"])).map(tuple),
    parameters=st.none() | st.floats(1, 1e9),
    loss=names,
    base=names,
    live=names,
    schedule=st.sampled_from(["", "proposal", "scheduler"]),
    rate=numbers,
    stage=st.none() | st.floats(0, 1),
    change=numbers,
    gradient=numbers,
    growth=numbers,
    gap=numbers,
)


@given(situations, situations)
def test_a_distance_is_the_same_both_ways_and_between_0_and_1(one, other):
    assert distance(one, other) == distance(other, one)
    assert 0 <= distance(one, other) <= 1


def test_what_is_the_same_is_at_no_distance():
    assert 0 == distance(HERE, HERE)


@pytest.mark.parametrize(
    "nearer, farther",
    [
        ({"rate": 0.02}, {"rate": 0.5}),
        ({"stage": 0.3}, {"stage": 0.9}),
        ({"layers": ("Linear",)}, {"layers": ("LSTM",)}),
        ({"base": "sgd"}, {"base": "Adam"}),
        ({"gradient": None}, {"gradient": 3e4}),
    ],
)
def test_a_part_that_differs_more_is_farther(nearer, farther):
    near, far = replace(HERE, **nearer), replace(HERE, **farther)

    assert distance(HERE, near) < distance(HERE, far)


def test_an_observation_and_its_event_show_the_same_situation():
    seen = situation_of(first())

    assert seen == situation_of(ObservationEvent(**first().as_dict()))
    assert ("Linear", "Sigmoid") == seen.layers
    assert ("SGD", "SGD", 0.01, 0.2) == (seen.base, seen.live, seen.rate, seen.stage)
    assert "sgd" == situation_of(later()).live


def test_a_situation_holds_no_name_of_a_task():
    assert situation_of(first(task="MNIST")) == situation_of(first(task=None))


def test_the_nearest_come_first_and_of_equals_those_that_did_well():
    far = entry(1, situation=replace(HERE, stage=0.9))
    bad = entry(2, verdict="rolled_back", change=None)
    good = [entry(number) for number in (3, 4, 5)]
    wanted = sorted(good, key=lambda each: each.key)

    for entries in ([far, bad, *good], [*reversed(good), bad, far]):
        found = Experience(tuple(entries)).nearest(HERE, count=5)

        assert [*wanted, bad, far] == found


def test_one_source_and_one_idea_of_a_run_are_shown_once():
    twins = [entry(n, source=source(1), run=f"run-{n}") for n in range(5)]
    alike = [entry(n, run="one", proposed="Plain: the same") for n in range(10, 15)]

    found = Experience((*twins, *alike)).nearest(HERE, count=9)

    assert 2 == len(found)


def test_only_one_source_is_shown_and_of_one_that_did_well():
    entries = (entry(1, verdict="rolled_back", change=None), entry(2), entry(3))

    shown = Experience(entries).recalled(HERE)

    assert 3 == len(shown)
    with_source = [each for each in shown if each["source"]]
    assert 1 == len(with_source)
    assert "applied" == with_source[0]["verdict"]


@pytest.mark.parametrize("most", [*range(0, 2600, 100), MOST_CHARACTERS, 10**9])
def test_what_is_shown_keeps_within_the_room_of_the_prompt(most):
    entries = [entry(n, source=source(n) + "# " + "x" * 2800) for n in range(9)]

    shown = Experience(tuple(entries)).recalled(HERE, most=most)

    assert len(experience_section(shown)) <= min(most, MOST_CHARACTERS)
    assert len(shown) <= MOST_SHOWN
    assert most < 2000 or shown


def test_a_secret_that_the_environment_names_now_is_not_shown(monkeypatch):
    held = (entry(1, lesson="planted-4711", source=f"# planted-4711\n{source(1)}"),)
    monkeypatch.setenv("SOME_TOKEN", "planted-4711")

    shown = Experience(held).recalled(HERE)

    assert shown
    assert "planted" not in str(shown)


@pytest.mark.parametrize("file", [3, True, [], b"experience.sqlite"])
def test_what_is_no_name_of_a_file_is_refused(file):
    with pytest.raises(BadArgument, match=f"experience is a {type(file).__name__}"):
        Experience.of(file)


def test_no_library_recalls_nothing():
    assert [] == Experience.of(None).recalled(HERE)
