"""What a library does to the prompts of an agent, of a run, a replay and a resume."""

import shutil

import pytest
import torch
from pydantic import PrivateAttr
from torch import nn
from typer.testing import CliRunner

import dux_agent
from dux_agent.cli import app
from dux_agent.experience.library import LibraryUnusable, learn_entries
from dux_agent.run_folder.trace import read
from dux_agent.runs.replaying import replay
from dux_agent.runs.training import resume, train
from dux_graphs.offline.model import WrittenModel
from tests.dying import Died, dying
from tests.experience.entries import entry
from tests.run_folders import fenced, source

TASK = "tests.foreign_tasks:build"
EXECUTIONS = ("inline", "isolated")
HEADING = "## What came of proposals in other trainings"


class Scripted(WrittenModel):
    """Proposes one rule after the other; keeps what it was asked."""

    model_name: str = "scripted"
    _asked: list = PrivateAttr(default_factory=list)

    @property
    def asked(self):
        return self._asked

    def answer(self, chat):
        self._asked.append(chat)
        return fenced(source(len(self._asked), 0.01))


@pytest.fixture
def library(tmp_path):
    file = tmp_path / "experience.sqlite"
    learn_entries(file, [entry(number) for number in range(4)])
    return file


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("DUX_CACHE", str(tmp_path_factory.mktemp("cache")))


def changed(library):
    """Other lessons, in other situations."""
    library.unlink()
    learn_entries(library, [entry(7, lesson="another world", change=-0.9)])


def gone(library):
    library.unlink()


def spoilt(library):
    library.write_bytes(b"no library")


CHANGES = (changed, spoilt, gone)


def prompts(folder):
    return {
        (event.decision, event.data["digest"]): event.data["messages"]
        for event in read(folder)
        if event.kind == "prompt"
    }


def shown(folder):
    return {
        event.decision: event.data["experience"]
        for event in read(folder)
        if event.kind == "observation"
    }


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_an_agent_shows_the_nearest_entries_and_records_them(
    execution, library, tmp_path
):
    model, asked = nn.Linear(2, 1), Scripted()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with dux_agent.attach(
        model,
        optimizer,
        lambda model, batch: model(batch).square().mean(),
        lm=asked,
        execution=execution,
        run_dir=tmp_path / "run",
        experience=library,
    ) as agent:
        for _ in range(3):
            agent.step(torch.ones(4, 2))
        agent.decide()

    [chat] = asked.asked
    assert chat[-1][1].count(HEADING) == 1
    recorded = shown(tmp_path / "run")[1]
    assert 3 == len(recorded)
    assert all(each["lesson"] in chat[-1][1] for each in recorded)


def test_a_prompt_without_a_library_is_byte_for_byte_as_it_was(library, tmp_path):
    with_it, without = Scripted(), Scripted()

    train(TASK, lm=without, execution="inline")
    train(TASK, lm=with_it, execution="inline", experience=str(library))

    [one], [other] = without.asked, with_it.asked
    assert one[0] == other[0]
    before, _, rest = other[1][1].partition(f"{HEADING}\n")
    assert one[1][1].startswith(before)
    assert one[1][1].endswith(rest[rest.index("## The live optimizer") :])


@pytest.mark.parametrize("window", [2400, 2800, 3200])
def test_a_small_window_leaves_entries_out_and_not_the_decision(library, window):
    with_it, without = Scripted(), Scripted()
    options = {"execution": "inline", "context_window": window}

    train(TASK, lm=without, **options)
    train(TASK, lm=with_it, experience=str(library), **options)

    assert len(without.asked) == len(with_it.asked)
    assert window < 3200 or HEADING in with_it.asked[0][1][1]


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_a_replay_asks_with_the_same_prompts_whatever_became_of_the_library(
    execution, library, tmp_path
):
    options = {"execution": execution, "experience": str(library), "epochs": 3}
    train(TASK, lm=Scripted(), run_dir=tmp_path / "run", **options)
    assert 3 == len(shown(tmp_path / "run")[2])
    for change in CHANGES:
        change(library)

        again = replay(tmp_path / "run", execution=execution)

        assert ((), 0) == (again.differences, again.strangers)


@pytest.mark.parametrize("change", CHANGES[:2])
def test_a_resumed_run_asks_nothing_again_whatever_became_of_the_library(
    change, library, tmp_path
):
    first, second = Scripted(), Scripted()
    options = {"execution": "inline", "experience": str(library), "epochs": 3}
    with pytest.raises(Died):
        train(TASK, lm=first, run_dir=tmp_path / "run", on_event=dying(20), **options)
    before = prompts(tmp_path / "run")
    # As if it had died before its checkpoint: both decisions are made anew.
    (tmp_path / "run" / "checkpoint.pt").unlink()
    (tmp_path / "run" / "decisions.sqlite").unlink()
    change(library)

    resume(tmp_path / "run", lm=second)

    assert 2 == len(before) == len(first.asked)
    assert before == prompts(tmp_path / "run")
    assert [] == second.asked


def test_a_decision_after_the_resume_sees_the_library_as_it_is_then(library, tmp_path):
    options = {"execution": "inline", "experience": str(library), "epochs": 3}
    with pytest.raises(Died):
        train(
            TASK, lm=Scripted(), run_dir=tmp_path / "run", on_event=dying(12), **options
        )
    changed(library)

    resume(tmp_path / "run", lm=Scripted())

    told = shown(tmp_path / "run")
    assert "another world" not in str(told[1])
    assert "another world" in str(told[2])


def test_a_folder_from_elsewhere_is_shown_no_library_of_this_machine(
    library, tmp_path, monkeypatch, caplog
):
    options = {"execution": "inline", "experience": str(library), "epochs": 3}
    with pytest.raises(Died):
        train(
            TASK, lm=Scripted(), run_dir=tmp_path / "run", on_event=dying(1), **options
        )
    monkeypatch.setenv("DUX_CACHE", str(tmp_path / "other-machine"))
    asked = Scripted()

    resume(tmp_path / "run", lm=asked, task=TASK)

    assert "never named on this machine" in caplog.text
    assert asked.asked
    assert HEADING not in str(asked.asked)


@pytest.mark.parametrize("change", (gone, spoilt))
def test_a_library_that_cannot_be_read_is_refused_before_anything_is_made(
    change, library, tmp_path
):
    change(library)

    with pytest.raises(LibraryUnusable, match="experience.sqlite cannot be read"):
        train(TASK, run_dir=tmp_path / "run", experience=str(library))

    assert not (tmp_path / "run").exists()


def test_the_command_line_takes_a_library_by_its_whole_name(library, tmp_path):
    shutil.copy(library, tmp_path / "here.sqlite")

    result = CliRunner().invoke(
        app,
        ["run", TASK, "--experience", str(tmp_path / "here.sqlite")]
        + ["--run-dir", str(tmp_path / "run")],
    )

    assert 0 == result.exit_code, result.output
    assert 3 == len(shown(tmp_path / "run")[1])
