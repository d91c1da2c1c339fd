"""What a command takes beside `--resume`, and what it refuses without a change."""

import pytest

from tests.attacks.hostile_folders import contents, dux


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["evolve", "--seed", "3", "--islands", "2"], "--seed, --islands"),
        (["evolve", "family"], "tasks"),
        (["tune", "svm:digits", "--budget", "20"], "--budget"),
        (["tune", "--no-reasoning"], "--reasoning"),
    ],
)
def test_what_was_settled_when_it_began_cannot_be_told_anew(tmp_path, words, named):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "kept").write_text("as it is")
    before = contents(folder)

    told = dux(*words, "--resume", str(folder))

    assert 2 == told.exit_code
    assert f"dux: {named} was given with --resume" in told.stderr
    assert before == contents(folder)


@pytest.mark.parametrize(
    "words",
    [
        ["evolve", "--workers", "2", "--budget", "9", "--engine", "processes"],
        ["tune", "svm:digits", "--execution", "inline", "--lm-option", "a=1"],
    ],
)
def test_what_may_differ_from_machine_to_machine_can(tmp_path, words):
    told = dux(*words, "--resume", str(tmp_path))

    assert "was given with --resume" not in told.stderr
