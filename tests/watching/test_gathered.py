"""A run of any size is kept within bounds."""

import math

import pytest

from dux_agent.run_folder.trace import Event, read
from dux_agent.run_history.reading import story_of
from dux_agent.watching.gathered import MOST_WHOLE, Gathered
from tests.run_folders import usual


def losses(count, *, at=None):
    """A curve with one spike and one hole at the places named."""
    low, high, broken = at or (None, None, None)
    special = {low: -5.0, high: 50.0, broken: "NaN"}
    for step in range(1, count + 1):
        loss = special.get(step, 1 / step)
        yield Event(float(step), step, None, "loss", {"loss": loss})


def decision(number, text="x"):
    def event(kind, **data):
        return Event(float(number), number, number, kind, data)

    yield event("prompt", messages=[{"role": "user", "content": text}], same=0)
    yield event("reply", content=text, usage={"calls": 1})
    yield event("apply", verdict="applied", reason="r", seconds=1.0, usage={"calls": 1})


def told(gathered, tmp_path):
    return story_of(tmp_path, {}, gathered.kept(), lambda digest: None)


def test_a_run_of_usual_size_is_kept_whole(tmp_path):
    events = read(usual(tmp_path / "run"))
    gathered = Gathered()

    gathered.take(events)

    def key(event):
        return (event.time, event.line())

    assert sorted(events, key=key) == sorted(gathered.kept(), key=key)
    assert len(events) == gathered.events


def test_a_long_curve_keeps_its_extremes_and_its_ends(tmp_path):
    gathered = Gathered()

    gathered.take(losses(60_000, at=(20_001, 30_003, 40_002)))

    story = told(gathered, tmp_path)
    assert len(story.losses) < 10_000
    assert 60_000 == gathered.events == story.steps
    assert -5.0 == min(loss for _, loss in story.losses)
    assert 50.0 == max(loss for _, loss in story.losses if math.isfinite(loss))
    assert [40_002] == [step for step, loss in story.losses if math.isnan(loss)]
    assert 1 == story.losses[0][0]


def test_of_many_decisions_the_newest_are_kept_whole_and_all_are_counted(tmp_path):
    gathered = Gathered()

    for number in range(1, 201):
        gathered.take(decision(number))

    story = told(gathered, tmp_path)
    assert frozenset(range(201 - MOST_WHOLE, 201)) == gathered.whole
    assert [*range(1, 201)] == [each.number for each in story.decisions]
    assert {"applied"} == {each.verdict for each in story.decisions}
    assert 200 == sum(each.usage["calls"] for each in story.decisions)
    assert not any(story.decisions[0].prompts)
    assert all(story.decisions[-1].prompts)


@pytest.mark.parametrize("number", [1, 30])
def test_of_huge_decisions_fewer_are_kept_whole(tmp_path, number):
    gathered = Gathered()
    text = "x" * 5_000_000

    for each in range(1, number + 1):
        for _ in range(4):
            gathered.take(decision(each, text))

    kept = sum(len(str(event.data)) for event in gathered.kept())
    assert kept < 30_000_000
    assert number == len(told(gathered, tmp_path).decisions)


def test_a_rollback_is_told_of_a_decision_that_is_not_kept_whole(tmp_path):
    gathered = Gathered()
    for number in range(1, 101):
        gathered.take(decision(number))

    gathered.take([Event(101.0, 101, 1, "rollback", {"reason": "harm"})])

    assert "rolled_back" == told(gathered, tmp_path).decisions[0].verdict


def test_no_number_of_events_of_any_kind_fills_the_memory():
    gathered = Gathered()
    text = "x" * 40_000

    for at in range(10_000):
        number = at % 5_000
        gathered.take([Event(1.0, at, None, "error", {"error": "e"})])
        gathered.take([Event(1.0, at, number, "apply", {"verdict": "kept"})])
        gathered.take([Event(1.0, at, 1, "apply", {"verdict": "kept"})])
        gathered.take([Event(1.0, at, None, "loss", {"loss": 1.0, "more": text * 2})])

    assert len(gathered.kept()) < 22_000
    assert 40_000 == gathered.events
    assert gathered.left_out
