"""`dux run --resume`: what it takes, and what it refuses without a change."""

import shutil

import pytest

from dux_agent.run_folder import trace
from dux_agent.run_folder.run_checkpoint import FILE
from dux_agent.runs.training import resume, train
from tests.attacks.hostile_folders import contents, dux
from tests.dying import Died, dying


def losses(epochs):
    return [(epoch.train, epoch.val, epoch.test) for epoch in epochs]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    options = {"epochs": 2, "seed": 4, "control": True, "execution": "inline"}
    return train("digits", run_dir=folder, **options), folder, options


@pytest.fixture(scope="module")
def died(whole, tmp_path_factory):
    """The same run, ended in the middle of the agent's second epoch."""
    folder = tmp_path_factory.mktemp("died") / "run"
    with pytest.raises(Died):
        train("digits", run_dir=folder, on_event=dying(3 * 67 + 20), **whole[2])
    return folder


@pytest.fixture
def copy(died, tmp_path):
    return shutil.copytree(died, tmp_path / "run")


def test_a_run_that_died_ends_in_the_losses_of_one_that_did_not(whole, copy):
    result, folder, _ = whole

    again = dux("run", "--resume", copy)

    assert 0 == again.exit_code, again.output
    told = [event.data for event in trace.read(copy) if "scope" in event.data]
    expected = [event.data for event in trace.read(folder) if "scope" in event.data]
    for name in ("scope", "epoch", "loss", "val", "test"):
        assert [each[name] for each in expected] == [each[name] for each in told]
    assert len(trace.read(folder)) == len(trace.read(copy))
    assert f"{result.epochs[-1].test:.4f}" in again.stdout


@pytest.mark.parametrize("step", [5, 67 + 3])
def test_a_run_that_died_in_the_control_goes_on_too(whole, tmp_path, step):
    result, _, options = whole
    with pytest.raises(Died):
        train("digits", run_dir=tmp_path / "run", on_event=dying(step), **options)

    again = resume(tmp_path / "run")

    assert losses(result.control) == losses(again.control)
    assert losses(result.epochs) == losses(again.epochs)
    assert [change.before for change in result.changes] == [
        change.before for change in again.changes
    ]


def test_a_run_that_is_over_gives_its_figures_and_stays_as_it_is(whole):
    result, folder, _ = whole
    before = contents(folder)

    again = resume(folder)

    assert losses(result.epochs) == losses(again.epochs)
    assert len(result.changes) == len(again.changes)
    assert before == contents(folder)


def test_without_its_checkpoint_a_run_begins_again_with_the_replies_it_has(whole, copy):
    result, folder, _ = whole
    (copy / FILE).unlink()

    again = resume(copy)

    assert losses(result.epochs) == losses(again.epochs)
    assert len(trace.read(folder)) == len(trace.read(copy))


def test_arguments_that_say_the_same_are_taken(copy):
    again = dux(
        "run", "digits", "--seed", 4, "--epochs", 2, "--control", "--resume", copy
    )

    assert 0 == again.exit_code, again.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("sine",), "TASK is sine, and the run in"),
        (("--seed", "5"), "--seed is 5, and the run in"),
        (("--epochs", "9"), "--epochs is 9"),
        (("--lm", "openai:x"), "--lm is openai:x"),
        (("--run-dir", "elsewhere"), "--run-dir is"),
    ],
)
def test_arguments_that_say_something_else_are_refused(copy, arguments, said):
    before = contents(copy)

    result = dux("run", *arguments, "--resume", copy)

    assert 2 == result.exit_code
    assert said in result.stderr
    assert 1 == len(result.stderr.strip().splitlines())
    assert before == contents(copy)


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("run.json", None, "is no run folder"),
        ("run.json", b"{", "is no run folder"),
        ("run.json", b'{"format": 1, "task": "digits"}', "is no run of `dux run`"),
        ("trace.jsonl", None, "there is no trace"),
        ("trace.jsonl", b"nonsense\nnonsense\n{}\n", "is damaged in line 1"),
        (FILE, b"nonsense", "cannot be used"),
        ("decisions.sqlite", b"no database at all, but long enough" * 99, "database"),
    ],
)
def test_a_folder_that_cannot_be_resumed_is_refused_in_one_line(
    copy, file, content, said
):
    if content is None:
        (copy / file).unlink()
    else:
        (copy / file).write_bytes(content)
    before = contents(copy)

    result = dux("run", "--resume", copy)

    assert 2 == result.exit_code, result.output
    assert said in result.stderr
    errors = [line for line in result.stderr.splitlines() if line.startswith("dux:")]
    assert 1 == len(errors)
    assert "Traceback" not in result.output
    assert before == contents(copy)


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    result = dux("run", "--resume", tmp_path / "nowhere")

    assert 2 == result.exit_code
    assert "is no run folder" in result.stderr
    assert [] == list(tmp_path.iterdir())


def test_no_task_and_nothing_to_resume_is_refused():
    result = dux("run")

    assert 2 == result.exit_code
    assert "no task was named" in result.stderr
