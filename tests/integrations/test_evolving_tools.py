"""Examples in which other packages search, run against the packages themselves."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
TOOLS = {
    "gepa": "evolve_gepa.py",
    "openevolve": "evolve_openevolve.py",
    "shinka": "evolve_shinka.py",
}


@pytest.mark.parametrize("package", TOOLS)
def test_a_search_of_another_package_scores_by_ours(package, tmp_path):
    pytest.importorskip(package, reason=f"{package} is not installed")
    paths = ":".join(each for each in sys.path if each)

    done = subprocess.run(
        [sys.executable, str(EXAMPLES / TOOLS[package])],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=280,
    )

    assert 0 == done.returncode, done.stderr[-2000:]
    # Better than Adagrad, which they begin with: the next proposal was scored, too.
    found = re.findall(r"the best(?: one's score)?: (\S+)$", done.stdout, re.MULTILINE)
    assert float(found[-1]) > 0.2
