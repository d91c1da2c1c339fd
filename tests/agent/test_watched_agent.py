"""An agent that is told something by whoever watches its run."""

import io
import os
import threading
from contextlib import contextmanager

import pytest
from rich.console import Console

from dux_agent.errors import BadArgument
from dux_agent.run_folder.folder import RunFolder
from dux_agent.run_folder.folder_lock import lock
from dux_agent.run_folder.trace import read
from dux_agent.run_folder.watchers_word import (
    PAUSED,
    asked,
    pause,
    questions,
    watched_file,
)
from dux_agent.runs.replaying import replay
from dux_agent.runs.training import resume, train
from dux_agent.terminal.approving import Person
from dux_agent.terminal.progress import TrainingDisplay
from tests import models
from tests.swapping import ADAM, SGD
from tests.talking import agent_over, run, scripted
from tests.waiting import wait_until

TASK = "tests.foreign_tasks:build"
PROPOSAL = {"digest": "a" * 64, "diff": "+x", "losses": [1.0], "incumbent_losses": []}


@contextmanager
def answering(folder, *words):
    """Somebody who answers in the folder, one question after the other."""
    over = threading.Event()
    seen = []

    def answer():
        for word in words:
            while not over.is_set():
                open_ones = [each for each in questions(folder) if not each.answered]
                if open_ones:
                    seen.append(open_ones[0])
                    open_ones[0].say(word)
                    break
                over.wait(0.02)

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def until_decided(agent, decision):
    def over():
        run(agent, 1)
        return decision in agent.decisions

    wait_until(over)


# --- a pause


@pytest.mark.parametrize("execution", ["inline", "isolated"])
def test_no_decision_is_made_during_a_pause_and_the_model_hears_nothing_of_it(
    tmp_path, execution
):
    model = scripted(ADAM, SGD)
    options = {"run_dir": tmp_path / "run", "execution": execution, "lm": model}
    with agent_over(models.make("mlp"), **options) as agent:
        run(agent, 3)
        agent.decide()
        pause(tmp_path / "run", on=True)
        run(agent, 3)
        [paused, again] = agent.decide(), agent.decide()
        pause(tmp_path / "run", on=False)
        run(agent, 3)
        agent.decide()
    [asked_once, asked_again] = [messages[-1].text for messages in model.asked]

    assert [("kept", PAUSED)] * 2 == [(e.verdict, e.reason) for e in (paused, again)]
    assert ["applied", "kept", "kept", "applied"] == [
        each.verdict for each in agent.decisions
    ]
    assert "pause" not in asked_again
    assert "applied" in asked_again
    assert asked_once != asked_again


@pytest.mark.parametrize("background", [False, True])
def test_what_falls_due_during_a_pause_is_passed_over(tmp_path, background):
    options = {"run_dir": tmp_path / "run", "every": 3, "background": background}
    with agent_over(models.make("mlp"), ADAM, **options) as agent:
        pause(tmp_path / "run", on=True)
        run(agent, 7)

        assert [PAUSED, PAUSED] == [each.reason for each in agent.decisions]
        assert [3, 6] == [each.step for each in agent.decisions]


def pausing(folder, first, last):
    """A listener that has the epochs from `first` to `last` end without a decision."""

    def listen(progress):
        if progress.kind == "epoch" and progress.course == "agent":
            pause(folder, on=first <= progress.epoch <= last)

    return listen


@pytest.mark.parametrize("background", [False, True])
def test_a_replay_pauses_where_the_run_was_paused(tmp_path, background):
    folder = tmp_path / "run"
    options = {"epochs": 4, "background": background}
    train(TASK, run_dir=folder, on_event=pausing(folder, 1, 1), **options)
    reasons = [e.data["reason"] for e in read(folder) if e.kind == "apply"]

    again = replay(folder)

    assert PAUSED == reasons[0]
    assert PAUSED not in reasons[1:]
    assert () == again.differences


class Died(Exception):
    pass


def test_a_run_that_died_after_a_pause_goes_on_as_if_it_had_not(tmp_path):
    def dying(folder):
        listen = pausing(folder, 1, 1)

        def heard(progress):
            listen(progress)
            if (progress.course, progress.epoch, progress.step) == ("agent", 2, 5):
                pause(folder, on=False)
                raise Died

        return heard

    whole = train(
        TASK,
        epochs=3,
        run_dir=tmp_path / "whole",
        on_event=pausing(tmp_path / "whole", 1, 1),
    )
    with pytest.raises(Died):
        train(
            TASK,
            epochs=3,
            run_dir=tmp_path / "died",
            on_event=dying(tmp_path / "died"),
        )

    again = resume(tmp_path / "died")

    assert [(e.train, e.val) for e in whole.epochs] == [
        (e.train, e.val) for e in again.epochs
    ]
    kinds = [event.data.get("error") for event in read(tmp_path / "died")]
    assert "contradiction" not in kinds


def test_a_step_costs_no_look_at_what_is_said(tmp_path, monkeypatch):
    looks, real = [], os.stat

    def stat(path, *how, **more):
        looks.extend([path] if "control" in str(path) else [])
        return real(path, *how, **more)

    options = {"run_dir": tmp_path / "run", "every": 10, "approve": "watch"}
    with agent_over(models.make("mlp"), "no source", **options) as agent:
        monkeypatch.setattr(os, "stat", stat)
        run(agent, 35)

        assert 3 == len(agent.decisions)
    assert len(looks) <= 3


# --- a word on a proposal


@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize(
    ("words", "verdict"),
    [((True,), "applied"), ((False,), "kept"), (("use a warm-up", True), "applied")],
)
def test_whoever_watches_is_asked(tmp_path, background, words, verdict):
    options = {"approve": "watch", "background": background}
    options["run_dir"] = tmp_path / "run"
    with (
        agent_over(models.make("mlp"), ADAM, SGD, **options) as agent,
        answering(tmp_path / "run", *words) as seen,
    ):
        run(agent, 3)
        decision = agent.decide()
        until_decided(agent, decision)

    assert verdict == decision.verdict
    assert len(words) == len(seen)
    assert {(1, True)} == {(each.decision, each.here) for each in seen}
    assert [] == questions(tmp_path / "run")


@pytest.mark.parametrize("background", [False, True])
def test_where_nobody_watches_a_decision_ends_and_what_is_live_stays(
    tmp_path, background
):
    options = {"approve": "watch", "background": background, "decision_timeout": 3.0}
    options["run_dir"] = tmp_path / "run"
    with agent_over(models.make("mlp"), ADAM, **options) as agent:
        run(agent, 3)
        decision = agent.decide()
        until_decided(agent, decision)

    assert decision.verdict in ("kept", "failed")
    assert agent.optimizer.running.source is None


def test_closing_an_agent_does_not_wait_for_a_word(tmp_path):
    options = {"approve": "watch", "background": True, "run_dir": tmp_path / "run"}
    with agent_over(models.make("mlp"), ADAM, **options) as agent:
        run(agent, 3)
        agent.decide()

        def waits():
            run(agent, 1)
            return questions(tmp_path / "run")

        wait_until(waits)

    assert [] == questions(tmp_path / "run")
    assert "closed" in agent.decisions[-1].reason


def test_a_function_of_ones_own_is_asked_as_ever_and_the_folder_says_so(tmp_path):
    seen = []

    def person(proposal):
        seen.extend(questions(tmp_path / "run"))
        return True

    options = {"approve": person, "run_dir": tmp_path / "run"}
    with agent_over(models.make("mlp"), ADAM, **options) as agent:
        run(agent, 3)
        decision = agent.decide()

    assert "applied" == decision.verdict
    assert [(1, decision.digest, False)] == [
        (each.decision, each.digest, each.here) for each in seen
    ]


def test_a_way_of_asking_of_ones_own_may_hear_the_page_too(tmp_path):
    class Both:
        def __call__(self, proposal):
            raise AssertionError("it has another way")

        def beside(self, proposal, question):
            wait_until(lambda: question.answered)
            return question.answer()

    options = {"approve": Both(), "run_dir": tmp_path / "run"}
    with (
        agent_over(models.make("mlp"), ADAM, **options) as agent,
        answering(tmp_path / "run", True),
    ):
        run(agent, 3)

        assert "applied" == agent.decide().verdict


@pytest.mark.parametrize(
    ("approve", "verdict"), [(lambda proposal: True, "applied"), ("watch", "kept")]
)
def test_a_folder_that_cannot_be_written_keeps_nobody_waiting(
    tmp_path, caplog, approve, verdict
):
    options = {"approve": approve, "run_dir": tmp_path / "run"}
    with agent_over(models.make("mlp"), ADAM, **options) as agent:
        run(agent, 3)
        (tmp_path / "run" / "control").write_text("a file in its place")
        decision = agent.decide()

    assert verdict == decision.verdict
    assert "cannot be written" in caplog.text


def test_there_must_be_a_folder_in_which_to_answer():
    with pytest.raises(BadArgument, match=r"pass run_dir="):
        agent_over(models.make("mlp"), ADAM, approve="watch")


@pytest.mark.parametrize("approve", ["Watch", "interrupt", True, 3])
def test_nobody_else_can_be_named(approve, tmp_path):
    with pytest.raises(BadArgument, match="approve is"):
        agent_over(models.make("mlp"), ADAM, approve=approve, run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()


# --- at a terminal


@pytest.fixture
def person(monkeypatch):
    """Somebody at a terminal that is a pipe, and where to type."""
    reading, writing = os.pipe()
    with open(reading) as stdin, open(writing, "w", buffering=1) as typing:
        monkeypatch.setattr("sys.stdin", stdin)
        console = Console(file=io.StringIO(), width=80)
        yield Person(console, TrainingDisplay(console)), typing


@pytest.fixture
def folder(tmp_path):
    with RunFolder.create(tmp_path / "run", {}) as held:
        yield held.path


@pytest.mark.parametrize("word", [True, False, "slower"])
def test_what_is_said_in_the_page_is_heard_at_the_terminal(folder, person, word):
    with (
        asked(folder, 1, PROPOSAL, here=True) as question,
        answering(folder, word),
    ):
        assert word == person[0].beside(PROPOSAL, question)


def test_what_is_typed_counts_beside_the_page_and_no_line_is_lost(folder, person):
    person[1].write("y\nslower, bitte ü\n\nYES\nn")
    person[1].close()

    said = []
    for _ in range(6):
        with asked(folder, 1, PROPOSAL, here=True) as question:
            said.append(person[0].beside(PROPOSAL, question))

    assert [True, "slower, bitte ü", False, True, False, False] == said


def test_where_nobody_can_type_the_page_is_waited_for_while_somebody_watches(
    folder, person
):
    person[1].close()
    with asked(folder, 1, PROPOSAL, here=True) as question:
        with watched_file(folder).open("wb") as held:
            lock(held.fileno(), folder)
            with answering(folder, True):
                assert person[0].beside(PROPOSAL, question)
    with asked(folder, 1, PROPOSAL, here=True) as question:
        assert not person[0].beside(PROPOSAL, question)
