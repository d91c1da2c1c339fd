"""A trace that is read while it is written."""

import pytest

from dux_agent.run_folder.trace import read
from dux_agent.run_folder.trace_growth import Follower
from tests.run_folders import usual


@pytest.fixture
def folder(tmp_path):
    return usual(tmp_path / "run")


def test_a_follower_waits_for_the_rest_of_a_line(folder):
    whole = (folder / "trace.jsonl").read_bytes()
    cut = whole.index(b"\n") + 30
    (folder / "trace.jsonl").write_bytes(whole[:cut])
    follower = Follower(folder)
    first = follower.news()
    (folder / "trace.jsonl").write_bytes(whole)

    rest = follower.news()

    assert 1 == len(first)
    assert read(folder) == first + rest


def test_nothing_is_lost_between_two_pieces(folder):
    longest = max(map(len, (folder / "trace.jsonl").read_bytes().splitlines()))
    follower = Follower(folder, longest + 1)

    pieces = list(follower.pieces())

    assert len(pieces) > 3
    assert read(folder) == [event for piece in pieces for event in piece]
    assert 0 == follower.passed_over


def test_what_was_not_asked_for_comes_at_the_next_look(folder):
    follower = Follower(folder, 2_000)

    first = next(follower.pieces())
    rest = follower.news()

    assert first
    assert read(folder) == first + rest


@pytest.mark.parametrize(
    "strange",
    [b"no event", b"{}", b'{"time": 1}', b"\xff\xfe", b"x" * 9_000, b"[" * 3_000],
)
def test_a_line_that_is_no_event_or_too_long_is_passed_over(folder, strange):
    events = read(folder)
    trace = folder / "trace.jsonl"
    first, rest = trace.read_bytes().split(b"\n", 1)
    trace.write_bytes(first + b"\n" + strange + b"\n" + rest)
    follower = Follower(folder, 4_000)

    assert events == follower.news()
    assert follower.passed_over


def test_a_torn_line_that_a_resumed_run_cuts_off_is_not_met(folder):
    trace = folder / "trace.jsonl"
    whole = trace.read_bytes()
    lines = whole.splitlines(keepends=True)
    trace.write_bytes(b"".join(lines[:5]) + lines[5][:20])
    follower = Follower(folder)
    first = follower.news()
    trace.write_bytes(whole)

    rest = follower.news()

    assert 5 == len(first)
    assert read(folder) == first + rest
    assert (1, 0) == (follower.files, follower.passed_over)


def test_a_trace_that_was_made_anew_is_read_from_its_beginning(folder, tmp_path):
    follower = Follower(folder)
    follower.news()
    other = usual(tmp_path / "other", seed=1)
    (folder / "trace.jsonl").write_bytes((other / "trace.jsonl").read_bytes() * 2)

    news = follower.news()

    assert read(other) == news[: len(news) // 2]
    assert 2 == follower.files
