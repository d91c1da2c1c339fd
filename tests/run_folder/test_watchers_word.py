"""What is asked and said in a run folder while its training goes on."""

import json
import os

import pytest

from dux_agent.run_folder.folder import RunFolder
from dux_agent.run_folder.watchers_word import (
    asked,
    pause,
    paused,
    questions,
    watched_file,
)
from tests.run_folders import usual

PROPOSAL = {"digest": "a" * 64, "source": "", "diff": ""}


@pytest.fixture
def folder(tmp_path):
    return usual(tmp_path / "run")


def test_a_question_stands_in_the_folder_until_it_is_over(folder):
    with asked(folder, 3, PROPOSAL, here=True) as question:
        [found] = questions(folder)
        assert question == found
        assert (3, "a" * 64, True) == (found.decision, found.digest, found.here)
        assert found.answer() is None

    assert [] == questions(folder)
    assert [] == list((folder / "control").iterdir())


def test_a_question_is_over_too_where_asking_raises(folder):
    with pytest.raises(LookupError), asked(folder, 3, PROPOSAL, here=False):
        raise LookupError

    assert [] == questions(folder)


@pytest.mark.parametrize("word", [True, False, "slower", "\u202e\x00 ü\n"])
def test_the_first_word_is_the_answer(folder, word):
    with asked(folder, 3, PROPOSAL, here=True) as question:
        [found] = questions(folder)

        assert found.say(word)
        assert not found.say("another")
        assert question.answered
        assert word == question.answer()


def test_a_word_on_a_question_that_is_over_is_not_taken(folder):
    with asked(folder, 3, PROPOSAL, here=True) as question:
        pass

    assert not question.say(True)
    assert [] == list((folder / "control").iterdir())


def test_two_may_wait_in_one_folder(folder):
    with (
        asked(folder, 1, PROPOSAL, here=True) as one,
        asked(folder, 1, PROPOSAL, here=True) as other,
    ):
        assert {one, other} == set(questions(folder))
        one.say(True)

        assert [True, None] == [one.answer(), other.answer()]


@pytest.mark.parametrize(
    "written",
    ["", "no json", "[]", "1", '{"answer": 1}', '{"answer": null}', '{"a": true}']
    + ['{"answer": ["yes"]}', '{"answer": "' + "x" * 70_000 + '"}', "[" * 1000],
)
def test_what_is_no_word_is_none(folder, written):
    with asked(folder, 3, PROPOSAL, here=True) as question:
        (folder / "control" / f"answer-{question.key}.json").write_text(written)

        assert question.answer() is None


@pytest.mark.parametrize(
    "told",
    ["", "[]", "{}", '{"decision": "1", "digest": "", "here": true}', "\xff"]
    + ['{"decision": 1, "digest": 2, "here": true}', '{"decision": true}'],
)
def test_what_is_no_question_is_passed_over(folder, told):
    (folder / "control").mkdir()
    path = folder / "control" / f"question-{'0' * 16}.json"
    path.write_text(told, encoding="latin-1")
    (folder / "control" / "question-x.json").write_text("{}")
    (folder / "control" / f"question-{'1' * 16}.json").mkdir()

    assert [] == questions(folder)


def test_of_any_number_of_files_a_bounded_number_is_looked_at(folder):
    (folder / "control").mkdir()
    for at in range(3_000):
        told = {"decision": at, "digest": "", "here": True}
        path = folder / "control" / f"question-{at:016x}.json"
        path.write_text(json.dumps(told))

    assert 0 < len(questions(folder)) <= 20


def test_a_run_that_goes_on_forgets_what_one_that_was_killed_had_asked(folder):
    entered = asked(folder, 3, PROPOSAL, here=True)
    question = entered.__enter__()
    question.say(True)

    with RunFolder.open(folder):
        assert [] == questions(folder)
    assert [] == list((folder / "control").iterdir())


def test_a_pause_lasts_until_it_is_ended(folder):
    assert not paused(folder)
    pause(folder, on=True)
    pause(folder, on=True)
    assert paused(folder)

    with RunFolder.open(folder):
        assert paused(folder)
    pause(folder, on=False)
    pause(folder, on=False)

    assert not paused(folder)


def test_nothing_is_written_through_a_link(folder, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (folder / "control").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(OSError, match="no folder of its own"):
        pause(folder, on=True)
    with (
        pytest.raises(OSError, match="no folder of its own"),
        asked(folder, 1, PROPOSAL, here=True),
    ):
        pass

    assert [] == list((tmp_path / "elsewhere").iterdir())
    (tmp_path / "elsewhere" / f"question-{'0' * 16}.json").write_text(
        json.dumps({"decision": 1, "digest": "", "here": True})
    )
    assert [] == questions(folder)


def test_a_pipe_in_the_place_of_an_answer_keeps_nobody_waiting(folder):
    with asked(folder, 3, PROPOSAL, here=True) as question:
        os.mkfifo(folder / "control" / f"answer-{question.key}.json")

        assert question.answer() is None


def test_nobody_watches_a_run_that_no_process_shows(folder):
    with asked(folder, 3, PROPOSAL, here=True) as question:
        assert not question.watched
        watched_file(folder).write_bytes(b"")
        assert not question.watched
