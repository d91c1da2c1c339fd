"""`dux replay`: the same run again, and what differs."""

import json
import shutil

import pytest
from typer.testing import CliRunner

from dux_agent.cli import app
from dux_agent.run_folder import trace
from dux_agent.run_folder.folder import RunFolder
from dux_agent.run_folder.trace import Event
from dux_agent.runs.replaying import compare, replay
from dux_agent.runs.training import train
from dux_graphs.prompt_digest import digest_of_chat
from dux_graphs.recorded import RecordedChatModel, RecordedFailure
from dux_graphs.recorded_trace import answers_in


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """Two epochs of digits with the control beside them."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    train("digits", epochs=2, seed=2, run_dir=folder, control=True, execution="inline")
    return folder


def dux(*arguments):
    return CliRunner().invoke(app, [str(each) for each in arguments])


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_run_replayed_is_the_same_to_the_last_bit_and_its_folder_untouched(recorded):
    before = contents(recorded)

    result = dux("replay", recorded)

    assert 0 == result.exit_code, result.output
    assert "compared 1 decision and 138 losses: the same to the last bit" in (
        result.stdout
    )
    assert before == contents(recorded)


def test_of_a_run_that_died_right_after_a_decision_the_decision_is_replayed(
    recorded, tmp_path
):
    folder = shutil.copytree(recorded, tmp_path / "cut")
    lines = (folder / "trace.jsonl").read_text().splitlines(keepends=True)
    end = next(at for at, line in enumerate(lines) if '"kind":"apply"' in line)
    (folder / "trace.jsonl").write_text("".join(lines[: end + 1]))

    result = dux("replay", folder)

    assert 0 == result.exit_code, result.stdout


def test_what_somebody_changed_in_a_trace_is_listed_with_exit_code_1(
    recorded, tmp_path
):
    folder = tmp_path / "run"
    shutil.copytree(recorded, folder)
    text = (folder / "trace.jsonl").read_text()
    lines = [json.loads(each) for each in text.splitlines()]
    for line in lines:
        if line["kind"] == "apply":
            line["data"]["verdict"] = "kept"
        if line["kind"] == "loss" and line["step"] == 7:
            line["data"]["loss"] = 1.25
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "trace.jsonl").write_text(text)

    result = dux("replay", folder)

    assert 1 == result.exit_code
    assert "decision 1" in result.stdout
    assert "step 7" in result.stdout
    assert "1.25" in result.stdout
    assert "2 differences" in result.stdout


def event(kind, decision=1, step=5, **data):
    return Event(0.0, step, decision, kind, data)


TOLD = [
    event("loss", decision=None, step=5, loss=0.5),
    event("static_check", digest="a" * 64, ok=True),
    event("dry_run", digest="a" * 64, ok=True, losses=[1.0], incumbent_losses=[1.1]),
    event("apply", digest="a" * 64, verdict="applied", seconds=1.0),
]


def changed(place, **data):
    events = list(TOLD)
    old = events[place]
    events[place] = Event(9.0, old.step, old.decision, old.kind, {**old.data, **data})
    return events


def test_times_are_no_difference():
    assert () == compare(TOLD, changed(3, seconds=7.0)).differences


@pytest.mark.parametrize(
    ("place", "data", "what"),
    [
        (0, {"loss": 0.5000001}, "loss"),
        (0, {"loss": "NaN"}, "loss"),
        (1, {"digest": "b" * 64}, "proposals"),
        (2, {"losses": [1.0, 2.0]}, "dry runs"),
        (3, {"verdict": "kept"}, "verdict"),
        (3, {"digest": "b" * 64}, "digest"),
    ],
)
def test_another_digest_verdict_curve_or_loss_is_a_difference(place, data, what):
    (found,) = compare(TOLD, changed(place, **data)).differences

    assert what == found.what
    assert found.recorded != found.replayed


def test_what_is_missing_on_either_side_is_a_difference():
    assert 2 == len(compare(TOLD, []).differences)
    assert 2 == len(compare([], TOLD).differences)


def test_what_a_run_that_died_had_not_come_to_is_no_difference():
    died = TOLD[:3]

    compared = compare(died, TOLD, complete=False)

    assert () == compared.differences
    assert (0, 1) == (compared.decisions, compared.losses)


def test_a_rollback_counts_as_the_verdict():
    undone = [*TOLD, event("rollback", digest="a" * 64, reason="harm")]

    (found,) = compare(TOLD, undone).differences

    assert ("applied", "rolled_back") == (found.recorded, found.replayed)


def asked(text):
    return digest_of_chat([("user", text)])


def prompt(text):
    return event("prompt", digest=asked(text), messages=[], same=0)


def test_a_model_replays_replies_by_their_prompts_and_failures_too():
    model = RecordedChatModel(
        once=True,
        replies=answers_in(
            each.body
            for each in [
                prompt("one"),
                event("error", error="Timeout", message="gone"),
                prompt("one"),
                event("reply", content="first", prompt=asked("one"), usage={}),
                prompt("two"),
                event("error", error="PermissionError", message="401"),
                event("apply", verdict="failed"),
                prompt("three"),
                event("reply", content="third", prompt=asked("three"), usage={}),
            ]
        ),
    )

    assert "third" == model.invoke("three").content
    assert "first" == model.invoke("one").content
    assert 0 == model.strangers
    with pytest.raises(RecordedFailure, match="401"):
        model.invoke("something else")
    with pytest.raises(RecordedFailure, match="fewer replies"):
        model.invoke("one")
    assert 2 == model.strangers


def test_failures_and_replies_of_calls_at_the_same_time_find_their_prompts():
    events = [
        prompt("one"),
        prompt("two"),
        prompt("three"),
        event("error", error="Timeout", message="gone", prompt=asked("two")),
        event("reply", content="first", prompt=asked("one"), usage={}),
        event("reply", content="third", prompt=asked("three"), usage={}),
        event("apply", verdict="applied"),
    ]
    replies = answers_in(each.body for each in events)
    model = RecordedChatModel(once=True, replies=replies)

    assert "third" == model.invoke("three").content
    with pytest.raises(RecordedFailure, match="gone"):
        model.invoke("two")
    assert "first" == model.invoke("one").content
    assert 0 == model.strangers


def test_a_run_with_several_candidates_replays(tmp_path):
    train("tests.foreign_tasks:build", epochs=3, candidates=3, run_dir=tmp_path / "run")

    compared = replay(tmp_path / "run")

    assert ((), 0) == (compared.differences, compared.strangers)


@pytest.mark.parametrize("arguments", [{"epochs": "two"}, {}, None])
def test_a_run_of_ones_own_loop_is_refused_in_one_line(tmp_path, arguments):
    facts = {"task": "digits", "seed": 0, "model": "offline", "arguments": arguments}
    RunFolder.create(tmp_path / "run", facts).close()

    result = dux("replay", tmp_path / "run")

    assert 2 == result.exit_code
    assert "is no run of `dux run`" in result.stderr
    assert 1 == len(result.stderr.strip().splitlines())
    assert [] == trace.read(tmp_path / "run")
