"""`torchrun` itself starts the ranks: they decide as one, and end as one."""

import json
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.wall

SECONDS = 240  # for the whole of it; on a quiet machine it takes ten


def launched(folder, *scenarios, count):
    """How it ended, and what each rank told of each scenario."""
    environment = {
        **os.environ,
        "PYTHONPATH": ":".join(each for each in sys.path if each),
        "GLOO_SOCKET_IFNAME": "lo",
        "OMP_NUM_THREADS": "1",
    }
    launcher = [sys.executable, "-W", "ignore", "-m", "torch.distributed.run"]
    where = ["--standalone", "--local-addr=127.0.0.1", f"--nproc-per-node={count}"]
    given = [str(folder / "told"), json.dumps(scenarios)]
    done = subprocess.run(
        [*launcher, *where, "-m", "tests.ranks.trainings", *given],
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    told = []
    for rank in range(count):
        out = folder / f"told-{rank}"
        lines = out.read_text().splitlines() if out.exists() else []
        told.append([json.loads(line) for line in lines])
    return done, told


@pytest.mark.parametrize("count", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_ranks_that_torchrun_starts_decide_as_one(tmp_path, count):
    scenarios = ["replies"], ["spike"], ["unbuilt"], ["fault"]

    done, told = launched(tmp_path, *scenarios, count=count)

    assert 0 == done.returncode, done.stderr
    for scenario in range(len(scenarios)):
        first, *others = [each[scenario] for each in told]
        for other in others:
            assert first["weights"] == other["weights"]
            assert first["verdicts"] == other["verdicts"]
    assert ["applied"] * 5 == told[0][0]["verdicts"][-1][1:]


def test_a_rank_that_is_killed_ends_what_torchrun_started_in_words(tmp_path):
    done, told = launched(tmp_path, ["killed"], count=2)

    assert 0 != done.returncode
    assert "Signal 9 (SIGKILL)" in done.stderr
    assert [] == told[1]
