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
