"""A run folder that is read while it grows tells what its report tells."""

import shutil
from pathlib import Path

import pytest

from dux_agent.run_history.reading import read_story
from dux_agent.watching.followed_run import FollowedRun
from tests.run_folders import Writer, source, usual

BEFORE = sorted(
    each.parent
    for each in (Path(__file__).parents[1] / "run_folder").rglob("trace.jsonl")
)
assert BEFORE
FOR_EVER = 1e9


def followed(path):
    run = FollowedRun(path)
    run.read_on(FOR_EVER)
    return run


def test_it_tells_what_the_report_tells(tmp_path):
    folder = usual(tmp_path / "run")

    assert read_story(folder) == followed(folder).story()


@pytest.mark.parametrize("before", BEFORE, ids=lambda each: each.name)
def test_runs_that_were_written_before_are_told_too(before, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(before, folder)
    wanted, story = read_story(folder), followed(folder).story()

    assert wanted.decisions == story.decisions
    assert wanted.losses == story.losses
    assert wanted.epochs == story.epochs


def test_what_is_written_meanwhile_is_told(tmp_path):
    with Writer(tmp_path / "run") as writer:
        writer.losses(1, 5)
        run = followed(writer.path)
        first = run.story()
        writer.applied(1, 5, source(1), None)

        run.read_on(FOR_EVER)

    assert 0 == len(first.decisions)
    assert source(1) == run.story().decisions[0].source


def test_a_trace_is_read_a_little_at_a_time(tmp_path):
    folder = usual(tmp_path / "run")
    trace = folder / "trace.jsonl"
    trace.write_bytes(trace.read_bytes() * 300)
    run = FollowedRun(folder)

    looks = 0
    while run.place[1] < run.size():
        run.read_on(0.0)
        looks += 1

    assert looks > 3
    assert read_story(folder).losses == run.story().losses


def test_a_folder_that_is_made_anew_is_told_from_its_beginning(tmp_path):
    run = followed(usual(tmp_path / "run"))
    shutil.rmtree(tmp_path / "run")
    with Writer(tmp_path / "run", task="another") as writer:
        writer.losses(1, 500)

    run.read_on(FOR_EVER)

    story = run.story()
    assert ("another", 500, 0) == (
        story.facts["task"],
        len(story.losses),
        len(story.decisions),
    )


def test_a_damaged_line_is_passed_over_and_counted(tmp_path):
    folder = usual(tmp_path / "run")
    lines = (folder / "trace.jsonl").read_bytes().splitlines(keepends=True)
    lines[3:3] = [b"x\n", b'{"a": 1}\n', b"\xff\n"]
    (folder / "trace.jsonl").write_bytes(b"".join(lines))

    run = followed(folder)

    assert 3 == run.passed_over
    assert 2 == len(run.story().decisions)
