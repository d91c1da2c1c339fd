"""The examples run as they stand."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


def output_of(name, folder):
    environment = {
        **os.environ,
        "PYTHONPATH": ":".join(each for each in sys.path if each),
    }
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert (0, "") == (done.returncode, done.stderr)
    assert [] == list(folder.iterdir())
    return done.stdout


def test_the_plain_loop_applies_proposals_and_trains(tmp_path):
    printed = output_of("plain_loop.py", tmp_path)

    losses = [
        float(line.split()[-1])
        for line in printed.splitlines()
        if line.startswith("epoch")
    ]
    assert 5 == len(losses)
    assert losses[-1] < losses[0] / 2
    assert "applied" in printed


def test_the_graph_alone_makes_a_decision(tmp_path):
    printed = output_of("graph_only.py", tmp_path)

    assert "verdict: applied" in printed


def test_decisions_go_to_a_postgres_where_there_is_one(tmp_path):
    pytest.importorskip(
        "langgraph.checkpoint.postgres", reason="its checkpointer is not installed"
    )
    if "DUX_POSTGRES" not in os.environ:
        pytest.skip("no server: set DUX_POSTGRES=postgresql://user:password@host/db")

    printed = output_of("postgres.py", tmp_path)

    assert "verdict: applied" in printed
    assert int(printed.rpartition("stages stored:")[2]) >= 4
