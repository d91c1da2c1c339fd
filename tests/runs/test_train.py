import math

import pytest
import torch

from dux_agent.errors import BadArgument, RunFolderExists
from dux_agent.run_folder.run_facts import read_facts
from dux_agent.run_folder.trace import read
from dux_agent.runs.training import train


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Three epochs of digits with the control beside it, recorded and listened to."""
    heard = []
    folder = tmp_path_factory.mktemp("runs") / "digits"
    result = train(
        "digits", epochs=3, seed=5, run_dir=folder, control=True, on_event=heard.append
    )
    return result, heard


def losses(epochs):
    return [(epoch.train, epoch.val, epoch.test) for epoch in epochs]


def test_the_agent_is_asked_before_every_epoch_but_the_first(run):
    result, _ = run

    assert [1, 2] == [change.after_epoch for change in result.changes]
    assert any(change.decision.verdict == "applied" for change in result.changes)


def test_the_first_epoch_is_the_base_optimizers_to_the_last_bit(run):
    result, _ = run

    assert losses(result.control)[0] == losses(result.epochs)[0]
    assert losses(result.control)[1:] != losses(result.epochs)[1:]


def test_the_agent_ends_below_the_control(run):
    result, _ = run

    assert result.epochs[-1].test < result.control[-1].test


def test_the_losses_around_a_decision_are_validation_losses(run):
    result, _ = run
    val = [epoch.val for epoch in result.epochs]

    found = [(change.before, change.after) for change in result.changes]

    assert [(val[0], val[1]), (val[1], val[2])] == found


def test_the_same_arguments_give_the_same_losses_to_the_last_bit(run):
    result, _ = run

    again = train("digits", epochs=3, seed=5)

    assert losses(result.epochs) == losses(again.epochs)
    assert [change.decision.digest for change in result.changes] == [
        change.decision.digest for change in again.changes
    ]


def test_the_run_folder_tells_every_epoch_and_every_source(run):
    result, _ = run

    events = read(result.run_dir)
    told = [one.data for one in events if one.data.get("scope") == "epoch"]
    kept = {file.stem for file in (result.run_dir / "sources").glob("*.py")}

    assert losses(result.epochs) == [(e["loss"], e["val"], e["test"]) for e in told]
    assert {change.decision.digest for change in result.changes} <= kept


def test_the_run_folder_says_what_was_run(run):
    facts = read_facts(run[0].run_dir)

    assert ("digits", 5, "offline") == (facts["task"], facts["seed"], facts["model"])
    assert 3 == facts["arguments"]["epochs"]


def test_no_prompt_holds_a_test_loss(run):
    result, _ = run
    prompts = " ".join(
        str(event.data) for event in read(result.run_dir) if event.kind == "prompt"
    )

    for epoch in result.epochs:
        for digits in (4, 6):
            assert f"{epoch.test:.{digits}g}" not in prompts
    # The validation loss is there: what is looked for would have been found.
    assert f"{result.epochs[0].val:.4g}" in prompts


def test_a_listener_hears_every_step_epoch_and_event(run):
    result, heard = run
    steps = [one for one in heard if one.kind == "step"]

    assert 2 * 3 * 67 == len(steps)
    assert ["control"] * 3 + ["agent"] * 3 == [
        one.course for one in heard if one.kind == "epoch"
    ]
    assert len(read(result.run_dir)) == sum(one.kind == "event" for one in heard)
    assert all(math.isfinite(one.loss) for one in steps)


def test_every_asks_by_steps_instead_of_epochs():
    result = train("digits", epochs=1, every=30)

    steps = [change.decision.step for change in result.changes]

    assert [30, 60] == steps
    assert [(0, None)] * 2 == [(one.after_epoch, one.before) for one in result.changes]


def test_without_a_run_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    result = train("sine", epochs=1)

    assert result.run_dir is None
    assert result.control is None
    assert [] == list(tmp_path.iterdir())


def test_torchs_threads_are_as_before_afterwards():
    before = torch.get_num_threads()

    train("sine", epochs=1)

    assert before == torch.get_num_threads()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"task": "cifar"}, "there is no task 'cifar'"),
        ({"lm": "nobody"}, "no language model is called 'nobody'"),
        ({"lm": "recorded:nowhere.json"}, "nowhere.json"),
        ({"epochs": 0}, "epochs is 0; it must be >= 1"),
        ({"seed": -1}, "seed is -1"),
        ({"every": 0}, "every is 0"),
        ({"execution": "bogus"}, "execution is 'bogus'"),
    ],
)
def test_what_cannot_be_meant_is_refused_and_nothing_is_written(
    tmp_path, wrong, message
):
    arguments = {"task": "sine", "run_dir": tmp_path / "runs" / "one", **wrong}

    with pytest.raises(BadArgument, match=message):
        train(**arguments)

    assert [] == list(tmp_path.iterdir())


def test_a_run_folder_that_exists_is_refused(tmp_path):
    (tmp_path / "mine").touch()

    with pytest.raises(RunFolderExists):
        train("sine", run_dir=tmp_path)

    assert ["mine"] == [path.name for path in tmp_path.iterdir()]


def test_an_interrupted_run_closes_its_folder(tmp_path):
    def interrupt(progress):
        if progress.kind == "step" and progress.step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train("sine", run_dir=tmp_path / "run", on_event=interrupt)

    assert (tmp_path / "run" / "run.json").is_file()
    assert {"loss"} == {event.kind for event in read(tmp_path / "run")}


@pytest.mark.parametrize("execution", ["inline", "isolated"])
def test_with_training_losses_only_the_model_is_shown_no_validation(
    execution, tmp_path
):
    for name, hidden in (("shown", False), ("hidden", True)):
        train(
            "tests.foreign_tasks:build",
            execution=execution,
            run_dir=tmp_path / name,
            training_losses_only=hidden,
        )
        (seen,) = (
            event.data for event in read(tmp_path / name) if event.kind == "observation"
        )

        assert hidden == (not seen["validation_losses"])
        assert hidden == (seen["evaluated_loss"] is None)
        assert seen["losses"]
