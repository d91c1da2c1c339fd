"""What a library is worth is measured on tasks that gave it no entry."""

import re

import pytest

from dux_agent.benchmarks import experience
from dux_agent.benchmarks.experience_models import Drawer, Explorer, Follower
from dux_agent.errors import BadArgument
from dux_graphs.offline.model import OfflineRules
from dux_graphs.offline.situation import family_of, rate_of
from dux_prompts.brief import render_system, render_update
from tests.observations import EXPERIENCE, SOURCE, first, later

TAUGHT, JUDGED = "logistic@sgd", "badly-scaled@adam"


def test_it_is_measured_once_and_read_from_its_folder(tmp_path, monkeypatch):
    said = []
    how = {"teaching": [TAUGHT], "lessons": 1}

    [found] = experience.measure([JUDGED], 1, tmp_path, said.append, **how)
    monkeypatch.setattr(experience, "train", None)  # what is kept is read
    again = experience.measure([JUDGED], 1, tmp_path, said.append, **how)

    assert [found] == again
    assert said[:2] == said[2:]
    assert re.fullmatch(rf"[1-9]\d* entries of 1 runs on {TAUGHT}", said[0])
    assert JUDGED == found.task
    assert found.drawer.ratio and found.follower.ratio


def test_a_task_is_not_judged_by_what_it_taught(tmp_path):
    with pytest.raises(BadArgument, match="logistic is among the tasks"):
        experience.measure(["logistic@adam"], 1, tmp_path, teaching=[TAUGHT])
    with pytest.raises(BadArgument, match="is among the tasks"):
        experience.tell("train", 1, tmp_path, print)

    assert not any(tmp_path.iterdir())


def test_the_follower_proposes_the_source_that_is_shown():
    model = Follower()

    shown = model.answer([("human", render_update(first(experience=EXPERIENCE)))])
    none = model.answer([("human", render_update(first()))])

    assert f"```python\n{SOURCE}```\n" == shown
    assert "RuleBased" in none


def test_the_explorer_answers_a_prompt_always_alike_and_seeds_otherwise():
    chat = [("human", render_update(first()))]

    one, same, other = (Explorer(seed=seed).answer(chat) for seed in (1, 1, 2))

    assert one == same != other


def drawn(*entries, observation=first, by=Drawer):
    seen = observation(experience=list(entries))
    asked = [("system", render_system(seen)), ("human", render_update(seen))]
    source = by().answer(asked)
    return family_of(source.partition("python\n")[2]), rate_of(source)


def test_a_first_proposal_takes_the_kind_that_did_clearly_better():
    lion = EXPERIENCE[0] | {"family": "lion", "rate": 0.01, "change": -0.6}
    kind, rate = drawn(by=OfflineRules)

    other, moved = drawn(lion, EXPERIENCE[1])

    assert ("adamw", "lion") == (kind, other)
    assert 0.01 == moved != rate


@pytest.mark.parametrize("rate", [1e-9, 1e-3, 1.0, 1e9])
def test_no_rate_is_moved_far(rate):
    kind, alone = drawn(by=OfflineRules)

    other, moved = drawn(EXPERIENCE[0] | {"family": "adamw", "rate": rate})

    assert kind == other
    assert alone / 3.01 <= moved <= alone * 3.01


@pytest.mark.parametrize(
    "change",
    [
        {"change": -0.05},
        {"change": None},
        {"change": 0.5},
        {"verdict": "rolled_back", "change": None},
        {"family": "shampoo"},
        {"family": "muon"},
        {"situation": {"base": "SGD", "live": "muon"}},
    ],
)
def test_what_says_nothing_of_a_first_proposal_changes_none(change):
    entry = EXPERIENCE[0] | {"family": "adamw"} | change

    assert drawn(by=OfflineRules) == drawn(entry)
    assert drawn(observation=later, by=OfflineRules) == drawn(
        EXPERIENCE[0] | {"family": "lion"}, observation=later
    )
