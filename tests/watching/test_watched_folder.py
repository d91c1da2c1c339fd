"""What the page says of a folder: of what is there, and in which state it is."""

import os
import shutil

import pytest

from dux_agent import real, tune
from dux_agent.report.money import Prices
from dux_agent.run_folder.watchers_word import asked, pause, questions, watched_file
from dux_agent.watching.watched_folder import WatchedFolder
from dux_agent.watching.watched_run import WatchedRun
from tests.run_folders import Writer, source, usual
from tests.waiting import wait_until

PROPOSAL = {"digest": "a" * 64}


@pytest.fixture
def open_(request):
    """Opens a folder; closed with the test."""

    def open_(path):
        watched = WatchedFolder(path, Prices(), "token")
        request.addfinalizer(watched.close)
        return watched

    return open_


def state(watched, name=None):
    text = watched.page(name).text
    return text.split('<p class="state')[1].split("</p>")[0].split(">", 1)[1]


def test_a_run_that_goes_on_is_over_or_ended_early(tmp_path, open_):
    with Writer(tmp_path / "run") as writer:
        watched = open_(writer.path)
        writer.losses(1, 10)
        writer.epoch(1, 10, 1.0)
        assert "goes on: 1 of 2 epochs, step 10" == state(watched)
        with asked(writer.path, 1, PROPOSAL, here=True):
            assert "waits at step 10 for a word on decision 1" == state(watched)
        pause(writer.path, on=True)
        assert state(watched).endswith("; decisions are paused")
    assert "ended early or died: no process writes it any more, 1 of" in state(watched)
    assert "dux run --resume" in state(watched)


def test_a_finished_run_is_over(tmp_path, open_):
    watched = open_(usual(tmp_path / "run"))

    assert "finished: 2 epochs" == state(watched)
    assert "<button" not in watched.page(None).text.split("<main")[1].split("<h2")[0]
    assert not watched_file(tmp_path / "run").exists()


def test_of_several_proposals_the_one_that_waits_is_named(tmp_path, open_):
    with Writer(tmp_path / "run") as writer:
        writer.ask(1, 10)
        writer.propose(1, 10, source(1), ok=False)
        digest = writer.propose(1, 10, source(2))
        writer.propose(1, 10, source(3), ok=False)
        with asked(writer.path, 1, {"digest": digest}, here=True):
            text = open_(writer.path).page(None).text

    assert "waits for a word</strong> on proposal 2 of 3" in text
    assert "Your word is wanted" in text


def test_the_title_does_not_call_for_a_word_that_is_said_elsewhere(tmp_path, open_):
    with Writer(tmp_path / "run") as writer:
        with asked(writer.path, 1, PROPOSAL, here=False):
            text = open_(writer.path).page(None).text

    assert "Your word is wanted" not in text
    assert "Answer there" in text


@pytest.mark.parametrize("in_a_decision", [False, True])
def test_of_a_loop_nobody_knows_how_long_it_was_to_be(tmp_path, open_, in_a_decision):
    with Writer(tmp_path / "run", arguments={}) as writer:
        writer.losses(1, 10)
        if in_a_decision:
            writer.ask(1, 10)

    told = state(open_(writer.path))

    assert told.startswith("over at step 10: no process writes it any more")
    assert in_a_decision == told.endswith("its last decision has no verdict")


def test_what_the_guard_raised_at_last_is_told(tmp_path, open_):
    with Writer(tmp_path / "run") as writer:
        writer.losses(1, 10)
        writer.event("error", None, 10, error="TrainingDiverged", message="NaN")

    assert "ended at step 10: NaN" == state(open_(writer.path))


def test_a_question_of_a_process_that_died_is_asked_no_more(tmp_path, open_):
    with Writer(tmp_path / "run") as writer:
        writer.losses(1, 10)
        left = asked(writer.path, 1, PROPOSAL, here=True)
        left.__enter__()

    page = open_(writer.path).page(None)

    assert questions(writer.path)
    assert "waits for a word" not in page.text


def test_without_a_language_model_there_is_nothing_to_pause(tmp_path, open_):
    with Writer(tmp_path / "run", model="none") as writer:
        writer.losses(1, 10)

        assert "Pause decisions" not in open_(writer.path).page(None).text


def test_the_page_changes_only_where_something_happens(tmp_path, open_):
    with Writer(tmp_path / "run") as writer:
        watched = open_(writer.path)
        writer.losses(1, 10)
        first, again = watched.page(None), watched.page(None)
        with asked(writer.path, 1, PROPOSAL, here=True) as question:
            waiting = watched.page(None)
            question.say(True)
            answered = watched.page(None)

    assert first == again
    assert 3 == len({each.tag for each in (first, waiting, answered)})


def test_of_a_long_trace_the_progress_is_told(tmp_path, open_):
    with Writer(tmp_path / "run") as writer:
        for _ in range(12):
            writer.event("reply", 1, 3, content="x" * 2**20)
        writer.applied(2, 10, source(1), None)
    watched = WatchedRun(writer.path, Prices(), reading=0.0)

    first = watched.page()

    assert first.behind
    assert "reading its trace: " in first.text
    wait_until(lambda: 'data-decision="2"' in watched.page().text)
    assert not watched.page().behind


def test_older_decisions_are_told_in_figures(tmp_path, open_):
    with Writer(tmp_path / "run") as writer:
        for number in range(1, 61):
            writer.applied(number, number, source(number), None)
        text = open_(writer.path).page(None).text

    assert 'data-decision="60"' in text
    assert 'data-decision="1"' not in text
    assert "20 older decisions" in text
    assert "<dd>60 <small>60 applied" in text


# --- what is not a run, or not yet


@pytest.mark.parametrize("inside", [(), ("note.txt",), ("a/b.txt",)])
def test_where_there_is_no_run_yet_it_is_waited_for(tmp_path, open_, inside):
    for name in inside:
        (tmp_path / "runs" / name).parent.mkdir(parents=True)
        (tmp_path / "runs" / name).write_text("")

    assert "there is no run yet" in state(open_(tmp_path / "runs"))


def test_a_run_without_a_trace_is_waited_for(tmp_path, open_):
    folder = usual(tmp_path / "run")
    (folder / "trace.jsonl").unlink()
    watched = open_(folder)
    assert "there is no run yet" in state(watched)
    shutil.rmtree(folder)
    usual(folder)

    assert "finished" in state(watched)


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ("[]", "no object"),
        ("{}", "another format"),
        ('{"format": 99}', "another format"),
        ("no json", "no readable run.json"),
        ('{"format": 1, "seed": [1]}', "damaged"),
    ],
)
def test_a_run_of_another_version_ends_in_words(tmp_path, open_, facts, told):
    folder = usual(tmp_path / "run")
    (folder / "run.json").write_text(facts)

    assert told in state(open_(folder))


def test_a_link_in_the_place_of_a_trace_is_not_followed(tmp_path, open_):
    folder = usual(tmp_path / "run")
    (folder / "trace.jsonl").rename(tmp_path / "elsewhere")
    (folder / "trace.jsonl").symlink_to(tmp_path / "elsewhere")

    assert "it cannot be read: it is a link" in state(open_(folder))


def test_an_empty_trace_is_a_page(tmp_path, open_):
    with Writer(tmp_path / "run") as writer:
        assert "goes on: 0 of 2 epochs, step 0" == state(open_(writer.path))


def linked(path):
    path.symlink_to(path.parent.parent.parent / "elsewhere")


def hard_linked(path):
    os.link(path.parent.parent.parent / "elsewhere", path)


@pytest.mark.parametrize("made", [os.mkfifo, os.mkdir, linked, hard_linked])
@pytest.mark.parametrize(
    "name", ["watched", "paused", f"question-{'0' * 16}.json", "answer-x.json"]
)
def test_whatever_lies_in_the_place_of_words_changes_nothing(
    tmp_path, open_, made, name
):
    (tmp_path / "elsewhere").write_text("mine")
    with Writer(tmp_path / "run") as writer:
        (writer.path / "control").mkdir()
        made(writer.path / "control" / name)
        watched = open_(writer.path)

        told = state(watched), watched.run_named(None).say({"action": "resume"})

    assert told[0].startswith("goes on: 0 of 2 epochs, step 0")
    assert "mine" == (tmp_path / "elsewhere").read_text()
    assert told[1] == "" or "cannot be written" in told[1]


# --- several runs


def test_several_runs_are_listed_the_newest_first(tmp_path, open_):
    for at, name in enumerate(["old", "new"]):
        folder = usual(tmp_path / name)
        os.utime(folder / "trace.jsonl", (1e9 + at, 1e9 + at))
    (tmp_path / "other").mkdir()
    watched = open_(tmp_path)

    text = watched.page(None).text

    assert "2 runs, the newest first" in text
    assert text.index("run=new") < text.index("run=old")
    assert "finished" in state(watched, "old")
    assert '<a href="?token=token">all runs</a>' in watched.page("old").text
    assert "all runs" not in open_(tmp_path / "old").page(None).text


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../run", "none", "/etc", "run2/../../run", "run2\x00", "\udcff"]
    + ["x" * 999],
)
def test_nothing_outside_is_shown(tmp_path, open_, name):
    usual(tmp_path / "run")
    usual(tmp_path / "in" / "run2")
    watched = open_(tmp_path / "in")

    assert "1 run, the newest first" in watched.page(name).text
    assert watched.run_named(name) is None


def test_of_many_runs_a_few_are_kept_in_memory(tmp_path, open_):
    for seed in range(8):
        usual(tmp_path / f"run-{seed}", seed=seed)
    watched = open_(tmp_path)

    for _ in range(2):
        for seed in range(8):
            assert f"digits, seed {seed}" in watched.page(f"run-{seed}").text

    assert len(watched._open) < 8


def test_a_study_is_shown_and_nothing_can_be_said_to_it(tmp_path, open_):
    space = {"x": real(-1.0, 1.0)}
    tune(lambda config: config["x"] ** 2, space, budget=3, run_dir=tmp_path / "study")
    watched = open_(tmp_path / "study")

    page = watched.page(None)
    word = watched.run_named(None).say({"action": "pause"})

    assert "data-trial" in page.text or "trial" in page.text
    assert "connect-src 'self'" in page.text
    assert page == watched.page(None)
    assert "nothing can be said to a study" in word
