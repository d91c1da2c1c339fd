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


def test_trainings_of_both_kinds_end_finite_and_are_kept(tmp_path, monkeypatch):
    said = []
    tasks = ["logistic@adam", "logistic@sgd-slow"]
    monkeypatch.setattr(rubbish, "names_of", lambda purpose: tasks)

    held = rubbish.tell("train", 2, tmp_path, said.append)
    monkeypatch.setattr(rubbish, "train", None)  # what is kept is read
    again = rubbish.tell("train", 2, tmp_path, said.append)

    assert held == again
    assert said[4].startswith("rubbish: ") and " of 2 within 5% of" in said[4]
    assert said[5].startswith("good proposals: 2 of 2 within 5% of the control, 2 fin")
    assert said[6].endswith(" of 8 decisions")
    assert said[:7] == said[7:]


@pytest.mark.parametrize("kind", ["rubbish", "good"])
@pytest.mark.parametrize("other", ["none", "far", "nonfinite", "refused"])
def test_what_is_far_or_not_finite_or_refused_breaks_the_bar(monkeypatch, kind, other):
    figures = {
        "none": (1.0, 1.05, 4, 4),
        "far": (1.0, 1.06, 4, 4),
        "nonfinite": (1.0, None, 4, 4),
        "refused": (1.0, 1.0, 3, 4),
    }

    def both(made, name, seed):
        mine = isinstance(made(), rubbish.RubbishModel) == (kind == "rubbish")
        return figures[other if mine else "none"]

    monkeypatch.setattr(rubbish, "_both", both)
    said = []

    held = rubbish.tell("train", 1, None, said.append)

    wanted = other == "none" or (kind, other) == ("rubbish", "refused")
    assert wanted == held


def test_what_is_good_is_another_rule_at_a_good_rate():
    for name, made in rubbish.GOOD.items():
        if name != "offline":
            assert name.split()[1] in made().source
            assert check(made().source).ok


def test_a_purpose_that_there_is_not_is_said():
    with pytest.raises(BadArgument, match="--suite is 'all'"):
        rubbish.tell("all", 1, None, print)
    assert 32 == len(family.names_of("train"))
