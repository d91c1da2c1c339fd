"""What a model that proposes rubbish does to a training is measured by a benchmark."""

import ast

import pytest

from dux_agent.benchmarks import family, rubbish
from dux_agent.errors import BadArgument
from dux_sandbox import check


def test_it_proposes_the_same_rubbish_again_and_all_of_it_may_run():
    replies = [
        [model.answer(()) for _ in range(40)]
        for model in (rubbish.RubbishModel(seed=3), rubbish.RubbishModel(seed=3))
    ]

    assert replies[0] == replies[1]
    sources = {reply.split("```")[1].removeprefix("python\n") for reply in replies[0]}
    assert 35 < len(sources)
    for source in sources:
        assert ast.parse(source) and check(source).ok, source


def test_a_training_under_it_ends_finite_and_is_kept(tmp_path, monkeypatch):
    said = []
    tasks = ["logistic@adam", "logistic@sgd-slow"]
    monkeypatch.setattr(rubbish, "names_of", lambda purpose: tasks)

    held = rubbish.tell("train", 2, tmp_path, said.append)
    monkeypatch.setattr(rubbish, "train", None)  # what is kept is read
    again = rubbish.tell("train", 2, tmp_path, said.append)

    assert held == again
    assert said[-1].endswith(" of 2 within 5% of the control, 2 finite")
    assert said[:3] == said[3:]


@pytest.mark.parametrize("other", ["none", "far", "nonfinite"])
def test_what_is_far_or_not_finite_breaks_the_bar(monkeypatch, other):
    figures = {"none": [1.0, 1.05], "far": [1.0, 1.06], "nonfinite": [1.0, None]}
    monkeypatch.setattr(rubbish, "_both", lambda name, seed: figures[other])
    said = []

    assert (other == "none") == rubbish.tell("train", 1, None, said.append)
    assert (other == "none") == ("1 of 1 within" in said[-1])


def test_a_purpose_that_there_is_not_is_said():
    with pytest.raises(BadArgument, match="--suite is 'all'"):
        rubbish.tell("all", 1, None, print)
    assert 32 == len(family.names_of("train"))
