"""Spaces: what is a value, what is a configuration, and what says so in words."""

import random

import pytest

from dux_agent import one_of, real, whole
from dux_prompts.tuning.space import Space, key_of
from dux_prompts.tuning.space_text import space_in_source, space_of_texts
from dux_prompts.tuning.values import SpaceError

SPACE = Space(
    {
        "lr": real(1e-5, 1.0, log=True, default=1e-3),
        "depth": whole(1, 8),
        "opt": one_of("adam", "sgd"),
        "momentum": real(0.0, 0.99, when={"opt": "sgd"}),
    }
)
SOUND = {"lr": 0.01, "depth": 2, "opt": "adam"}


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ({"depth": 8.0}, {"depth": 8}),
        ({"depth": "3"}, {"depth": 3}),
        ({"lr": "1e-3"}, {"lr": 1e-3}),
        ({"lr": 1}, {"lr": 1.0}),
        ({"opt": "Adam"}, {"opt": "adam"}),
        ({"momentum": None}, {}),
    ],
)
def test_what_is_meant_is_accepted_and_typed(given, meant):
    config = SOUND | given

    found = SPACE.problems(config)

    assert [] == found
    assert SOUND | meant == SPACE.typed(config)
    assert [type(v) for v in (SOUND | meant).values()] == [
        type(v) for v in SPACE.typed(config).values()
    ]


@pytest.mark.parametrize(
    ("given", "rule", "word"),
    [
        ({"lr": 2.0}, "value", "outside"),
        ({"lr": 0}, "value", "outside"),
        ({"lr": float("nan")}, "value", "finite"),
        ({"lr": float("inf")}, "value", "finite"),
        ({"lr": 10**400}, "value", "finite"),
        ({"lr": True}, "value", "finite"),
        ({"lr": None}, "value", "finite"),
        ({"lr": "small"}, "value", "finite"),
        ({"depth": 2.5}, "value", "whole"),
        ({"depth": 9}, "value", "outside"),
        ({"depth": 10**400}, "value", "finite"),
        ({"depth": -(10**4000)}, "value", "finite"),
        ({"opt": "lion"}, "value", "no choice"),
        ({"opt": "sgd"}, "missing", "momentum"),
        ({"wd": 0.1}, "unknown", "wd"),
    ],
)
def test_what_is_wrong_is_one_finding_with_what_to_write(given, rule, word):
    found = SPACE.problems(SOUND | given)

    assert [rule] == [each.rule for each in found]
    assert word in found[0].message
    assert found[0].instead


@pytest.mark.parametrize("config", [None, [], "lr=0.1", 3])
def test_what_is_no_object_is_a_finding(config):
    assert ["reply"] == [each.rule for each in SPACE.problems(config)]


def test_in_a_free_space_only_type_and_sign_count():
    assert [] == SPACE.problems(SOUND | {"lr": 50.0, "depth": 900}, free=True)
    assert 1 == len(SPACE.problems(SOUND | {"lr": 0.0}, free=True))
    assert 1 == len(SPACE.problems(SOUND | {"depth": -1}, free=True))
    assert 1 == len(SPACE.problems(SOUND | {"opt": "lion"}, free=True))
    assert "positive float" == SPACE["lr"].words(free=True)
    assert "nonnegative float" == SPACE["momentum"].words(free=True)


def test_it_begins_at_the_default_the_middle_of_the_scale_and_the_first_choice():
    space = Space({**SPACE, "wd": real(1e-4, 1e-2, log=True), "n": whole(0, 10)})

    start = space.start()

    assert {"lr": 0.001, "depth": 4, "opt": "adam", "wd": 0.001, "n": 5} == start


def test_draws_are_sound_and_the_same_for_a_seed():
    configs = [SPACE.draw(random.Random(7)) for _ in range(2)]
    many = [SPACE.draw(random.Random(seed)) for seed in range(300)]

    assert configs[0] == configs[1]
    assert [] == [each for each in many if SPACE.problems(each)]
    assert {"adam", "sgd"} == {each["opt"] for each in many}
    assert all(("momentum" in each) == (each["opt"] == "sgd") for each in many)
    assert set(range(1, 9)) == {each["depth"] for each in many}


@pytest.mark.parametrize("name", ["lr", "depth", "momentum"])
def test_the_unit_cube_and_back_is_the_same_value(name):
    each = SPACE[name]
    rng = random.Random(1)

    for _ in range(50):
        value = each.of_unit(rng.random())

        assert value == each.of_unit(each.to_unit(value))
        assert each.problem(value) is None


def test_an_end_as_it_is_shown_is_that_end():
    each = real(0.123449, 9.87651)

    assert "float, 0.1234 to 9.877" == each.words()
    assert [None, None] == [each.problem(0.1234), each.problem(9.877)]
    assert [0.123449, 9.87651] == [each.typed(0.1234), each.typed(9.877)]
    assert [0.1233, 9.878] == [each.typed(0.1233), each.typed(9.878)]
    assert each.problem(0.1233) and each.problem(9.878)


def test_a_space_is_read_back_from_plain_data():
    assert SPACE.as_dict() == Space.from_dict(SPACE.as_dict()).as_dict()


def test_equal_to_four_digits_is_the_same_configuration():
    assert key_of({"lr": 0.123449, "n": 1}) == key_of({"n": 1, "lr": 0.123441})
    assert key_of({"lr": 0.1234}) != key_of({"lr": 0.1235})


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: real(1, 0),
        lambda: real(0, 1, log=True),
        lambda: real(0, 1, default=2),
        lambda: real(0, float("inf")),
        lambda: whole(0.5, 2),
        lambda: one_of(),
        lambda: one_of("a", "a"),
        lambda: one_of(object()),
        lambda: one_of("a", default="b"),
        lambda: Space({}),
        lambda: Space({"a": (0, 1)}),
        lambda: Space({"a": real(0, 1, when={"b": 1}), "b": whole(0, 1)}),
    ],
)
def test_a_space_that_cannot_be_meant_is_refused_in_three_parts(wrong):
    with pytest.raises(SpaceError, match=r"wanted.*; |wanted; "):
        wrong()


def test_a_space_is_read_from_text_and_from_a_script_without_running_it():
    from_texts = space_of_texts(
        ["lr=real(2**-10, 1, log=True)", "opt=one_of('a', 'b')"]
    )
    script = (
        "import os\nos.nowhere()\nspace = {'n': dux_agent.whole(1, 3, default=2)}\n"
    )

    assert 2**-10 == from_texts["lr"].low
    assert {"n": 2} == space_in_source(script).start()
    assert space_in_source("x = 1") is None


@pytest.mark.parametrize(
    "text", ["lr", "=real(0, 1)", "lr=open('x')", "lr=real(f(), 1)", "lr=[1, 2]"]
)
def test_a_text_that_is_no_hyperparameter_is_refused(text):
    with pytest.raises(SpaceError):
        space_of_texts([text])


def branches(trial):
    if trial.suggest_categorical("kind", ["svm", "forest", "none"]) == "svm":
        trial.suggest_float("C", 1e-3, 1e3, log=True)
        if trial.suggest_categorical("kernel", ["rbf", "linear"]) == "rbf":
            trial.suggest_float("gamma", 1e-4, 10, log=True)
    elif trial.suggest_int("trees", 10, 100, step=10):
        trial.suggest_int("depth", 1, 8)
    trial.suggest_float("always", 0.0, 1.0, step=0.25)


def without_none(trial):
    if trial.suggest_categorical("kind", ["svm", "forest"]) == "svm":
        trial.suggest_float("C", 1e-3, 1e3, log=True)
        if trial.suggest_categorical("kernel", ["rbf", "linear"]) == "rbf":
            trial.suggest_float("gamma", 1e-4, 10, log=True)
    else:
        trial.suggest_int("trees", 10, 100, step=10)
    trial.suggest_float("always", 0.0, 1.0, step=0.25)


@pytest.mark.parametrize("function", [branches, without_none])
def test_a_function_defines_a_space_as_it_runs(function):
    space = Space.of(function)

    assert {"kind": ("svm",), "kernel": ("rbf",)} == dict(space["gamma"].when)
    assert {"kind": ("svm",)} == dict(space["C"].when)
    assert {} == dict(space["always"].when)
    assert {"kind", "C", "kernel", "gamma", "trees", "always"} <= set(space)
    drawn = [space.draw(random.Random(seed)) for seed in range(60)]
    assert all(("gamma" in each) == (each.get("kernel") == "rbf") for each in drawn)
    assert all(("trees" in each) == (each["kind"] != "svm") for each in drawn)
    assert all(each["always"] % 0.25 == 0 for each in drawn)


def layers(trial):
    count = trial.suggest_int("layers", 1, 4)
    for place in range(count):
        if trial.suggest_categorical(f"kind{place}", ["dense", "none"]) == "dense":
            trial.suggest_int(f"width{place}", 8, 512, log=True)
    for place in range(6):  # which decide nothing, and make no ways
        trial.suggest_int(f"other{place}", 1, 20)


def test_a_whole_number_that_decides_what_is_asked_for_is_found_out():
    space = Space.of(layers)

    assert {"layers": (3, 4), "kind2": ("dense",)} == dict(space["width2"].when)
    assert {} == dict(space["other5"].when)
    for seed in range(60):
        config = space.draw(random.Random(seed))
        given = range(config["layers"])
        assert {f"kind{place}" for place in given} == {n for n in config if "kind" in n}


def test_what_is_asked_for_in_two_manners_is_refused():
    def odd(trial):
        high = {"a": 1.0, "b": 2.0}[trial.suggest_categorical("kind", ["a", "b"])]
        trial.suggest_float("rate", 0.0, high)

    with pytest.raises(SpaceError, match="one range here and another there"):
        Space.of(odd)


def test_what_hangs_on_more_than_choices_is_refused():
    def odd(trial):
        first = trial.suggest_categorical("a", [0, 1])
        if first == trial.suggest_categorical("b", [0, 1]):
            trial.suggest_float("x", 0, 1)

    with pytest.raises(SpaceError, match="in a way that no choices"):
        Space.of(odd)
    with pytest.raises(SpaceError, match="dict of names"):
        Space.of(lambda trial: None)
