"""A run in a framework whose process is killed goes on in another one."""

import os
import random
import shutil
import signal
import subprocess
import sys

import pytest

from tests.integrations.trainings import SAVED_EVERY, STEPS, TRAININGS

pytestmark = pytest.mark.wall

SECONDS = 280  # for two trainings; on a quiet machine they take ten


def trained(name, folder, *modes, status=0):
    """Train in a process of its own; the losses of the last mode, by step."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.integrations.trainings"]
        + [name, str(folder), *modes],
        env={**os.environ, "PYTHONPATH": ":".join(each for each in sys.path if each)},
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert status == done.returncode, done.stderr
    return losses(folder, modes[-1].partition("=")[0])


def losses(folder, kind):
    where = folder / ("whole" if kind == "whole" else "died") / f"losses-{kind}"
    told = map(str.split, where.read_text().splitlines())
    return {int(step): float.fromhex(loss) for step, loss in told}


@pytest.mark.timeout(3 * SECONDS)
@pytest.mark.parametrize("name", TRAININGS)
def test_a_process_that_was_killed_goes_on_to_the_last_bit_in_another(name, tmp_path):
    pytest.importorskip(name)
    step = random.randrange(2 * SAVED_EVERY + 1, STEPS)
    before = trained(name, tmp_path, f"die={step}", status=-signal.SIGKILL)
    shutil.copytree(tmp_path, tmp_path / "again")

    after = trained(name, tmp_path, "whole", "resume")
    alone = trained(name, tmp_path / "again", "alone")

    whole = losses(tmp_path, "whole")
    assert list(range(STEPS)) == list(whole), f"killed at step {step}"
    assert whole == {**before, **after}, f"killed at step {step}"
    # Without dux-agent it trains on too, with the base optimizer.
    assert set(after) == set(alone)
