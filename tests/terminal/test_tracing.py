"""`dux trace`: the table, one decision whole, JSON, and a run while it goes on."""

import io
import json
import threading

import pytest
from rich.console import Console
from typer.testing import CliRunner

from dux_agent.cli import app
from dux_agent.errors import DuxError
from dux_agent.run_folder.folder import RunFolder
from dux_agent.run_folder.trace import Event
from dux_agent.run_history.reading import read_story, story_of
from dux_agent.terminal import following
from dux_agent.terminal.tracing import show

OLD = "class Old(torch.optim.Optimizer):\n    lr = 1\n"
NEW = "class New(torch.optim.Optimizer):\n    lr = 2\n"


def dux(*arguments):
    return CliRunner().invoke(app, [str(each) for each in arguments])


def decided(folder, number, step, source, verdict="applied", **more):
    """The events of one decision with one reply."""
    digest = folder.keep_source(source)

    def tell(kind, **data):
        folder.event(kind, step=step, decision=number, data=data)

    tell("observation", step=step, validation_losses=[[step, 2.0 / number]])
    chat = [{"role": "system", "content": "be terse"}]
    chat.append({"role": "user", "content": f"question {number}\x1b[31m"})
    tell("prompt", messages=chat, digest="0" * 64)
    tell("reply", content=source, prompt="0" * 64, usage={"calls": 1})
    finding = {"rule": "import", "line": 1, "message": "no import", "instead": "none"}
    tell("static_check", digest=digest, ok=False, findings=[finding])
    tell("dry_run", digest=digest, ok=True, losses=[0.5], incumbent_losses=[0.6])
    usage = {"calls": 1, "total_tokens": 1234}
    tell("apply", digest=digest, verdict=verdict, reason="r", seconds=2.5, usage=usage)


@pytest.fixture
def folder(tmp_path):
    facts = {"task": "digits", "seed": 0, "model": "offline"}
    with RunFolder.create(tmp_path / "run", facts) as held:
        for epoch in (1, 2, 3):
            data = {"scope": "epoch", "epoch": epoch, "loss": 3.0}
            data |= {"val": 3.0 / epoch, "test": 1.0}
            held.event("loss", step=67 * epoch, data=data)
            if epoch < 3:
                decided(held, epoch, 67 * epoch, OLD if epoch == 1 else NEW)
    return tmp_path / "run"


def test_a_story_tells_the_losses_around_a_decision_and_what_was_live_before(folder):
    run = read_story(folder)
    first, second = run.decisions

    assert (1, 67) == (first.number, first.step)
    assert (1, (3.0, 1.5)) == (run.epochs_before(first), run.losses_around(first))
    assert (2, (1.5, 1.0)) == (run.epochs_before(second), run.losses_around(second))
    assert ("", first.digest) == (first.incumbent_digest, second.incumbent_digest)
    assert (2.5, 1) == (second.seconds, second.replies)


def test_after_a_rollback_the_rule_before_is_the_incumbent_again(tmp_path):
    def event(kind, number, **data):
        return Event(0.0, number, number, kind, data)

    events = [
        event("apply", 1, digest="a", verdict="applied"),
        event("apply", 2, digest="b", verdict="applied"),
        event("rollback", 2, digest="b", reason="harm"),
        event("apply", 3, digest="c", verdict="kept"),
        event("observation", 4),
    ]
    told = story_of(tmp_path, {}, events, lambda digest: None).decisions

    assert ["", "a", "a", "a"] == [story.incumbent_digest for story in told]
    assert ["applied", "rolled_back", "kept", "unfinished"] == [
        story.verdict for story in told
    ]


def test_without_epochs_the_losses_are_those_of_the_observations(tmp_path):
    with RunFolder.create(tmp_path / "run", {}) as held:
        decided(held, 1, 10, OLD)
        decided(held, 2, 20, NEW)

    run = read_story(tmp_path / "run")

    assert [(2.0, 1.0), (1.0, None)] == list(map(run.losses_around, run.decisions))
    assert [None, None] == list(map(run.epochs_before, run.decisions))


def test_the_table_has_losses_seconds_and_tokens(folder):
    text = dux("trace", folder).stdout

    for told in ("3.0000", "→ 1.5000", "2.5", "1234", "applied", "Old", "New"):
        assert told in text
    assert max(map(len, text.splitlines()[1:])) <= 80


def test_one_decision_is_shown_whole(folder):
    text = dux("trace", folder, "--decision", 2).stdout

    assert "question 2" in text
    assert "question 1" not in text
    assert "no import" in text
    assert "0.5000" in text
    assert "-class Old(torch.optim.Optimizer):" in text
    assert "+class New(torch.optim.Optimizer):" in text
    assert "\x1b" not in text


def test_json_is_one_object_with_everything(folder):
    held = json.loads(dux("trace", folder, "--json").stdout)

    assert "digits" == held["run"]["task"]
    assert [1, 2] == [each["number"] for each in held["decisions"]]
    assert NEW == held["decisions"][1]["source"]
    assert [3.0, 1.5, 1.0] == [epoch["val"] for epoch in held["epochs"]]
    assert [(3.0, 1.5), (1.5, 1.0)] == [
        (each["before"], each["after"]) for each in held["decisions"]
    ]


def test_a_decision_that_is_not_there_is_refused(folder):
    result = dux("trace", folder, "--decision", 7)

    assert 2 == result.exit_code
    assert "has no decision 7" in result.stderr


def test_follow_shows_one_run_and_not_one_decision(folder):
    with pytest.raises(DuxError, match="--follow was given with"):
        show(Console(file=io.StringIO()), folder, live=True, decision=1)


def test_following_ends_with_the_run_and_has_told_everything(tmp_path):
    held = RunFolder.create(tmp_path / "run", {"task": "digits", "seed": 0})
    screen = Console(file=io.StringIO(), width=100)
    looked = threading.Event()

    def sleep(seconds):
        if looked.is_set():
            held.close()
            return
        looked.set()
        decided(held, 1, 5, OLD)
        held.event("rollback", step=9, decision=1, data={"reason": "harm"})

    following.follow(screen, tmp_path / "run", sleep=sleep)

    said = screen.file.getvalue()
    assert "decision 1: applied Old" in said
    assert "decision 1: rolled_back harm" in said


def test_on_a_terminal_following_draws_the_table(folder):
    screen = Console(file=io.StringIO(), width=100, force_terminal=True)

    following.follow(screen, folder)

    assert "Decisions" in screen.file.getvalue()


def test_a_finding_with_a_hostile_line_is_shown_as_text(tmp_path):
    finding = {"rule": "r", "line": "[/x]\x1b[31m", "message": "m", "instead": ""}
    with RunFolder.create(tmp_path / "run", {}) as held:
        data = {"digest": "", "ok": False, "findings": [finding]}
        held.event("static_check", step=1, decision=1, data=data)

    result = dux("trace", tmp_path / "run", "--decision", 1)

    assert 0 == result.exit_code, result.stderr
    assert "[/x]" in result.stdout
    assert "\x1b" not in result.stdout


def test_a_rollback_counts_also_where_the_verdict_is_lost(tmp_path):
    with RunFolder.create(tmp_path / "run", {}) as held:
        data = {"digest": "a" * 64, "reason": "harm"}
        held.event("rollback", step=9, decision=1, data=data)

    [story] = read_story(tmp_path / "run").decisions

    assert ("rolled_back", "harm", "a" * 64) == (
        story.verdict,
        story.reason,
        story.digest,
    )
