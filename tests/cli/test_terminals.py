"""Output that goes where not every character can be written."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.run_folders import Writer, source

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def in_latin_1(tmp_path):
    def dux(*arguments):
        roots = (".", "graphs", "sandbox", "prompts")
        path = os.pathsep.join(str(REPOSITORY / root) for root in roots)
        own = {
            "PYTHONPATH": path,
            "PYTHONIOENCODING": "latin-1",
            "OMP_NUM_THREADS": "1",
        }
        return subprocess.run(
            [sys.executable, "-m", "dux_agent", *arguments],
            env={**os.environ, **own},
            capture_output=True,
            cwd=tmp_path,
        )

    return dux


def test_a_run_ends_well_where_no_arrow_can_be_printed(in_latin_1):
    ended = in_latin_1("run", "digits", "--epochs", "2", "--run-dir", "run")

    assert 0 == ended.returncode, ended.stderr.decode()
    (row,) = (line for line in ended.stdout.splitlines() if b" applied " in line)
    assert b" ? " in row


def test_a_module_that_is_printed_is_utf_8_wherever_it_goes(in_latin_1, tmp_path):
    with Writer(tmp_path / "run") as run:
        run.applied(1, 10, "# its β is 0\n" + source(1), None)
        run.losses(11, 15)
        run.epoch(1, 15, 1.0)

    printed = in_latin_1("export", "run")

    assert 0 == printed.returncode, printed.stderr.decode()
    assert "β" in printed.stdout.decode()
