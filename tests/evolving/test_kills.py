"""Searches whose drivers and workers are killed find what the others find."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress

import pytest

from dux_agent.engines.processes import Process
from dux_agent.engines.workers import Workers
from dux_agent.evolving.evolve import evolve, resume
from dux_agent.evolving.reading import read_search
from dux_agent.run_folder.trace import read
from dux_graphs.offline.model import WrittenModel
from dux_sandbox.zoo import entry
from tests.evolving.test_asking import _RUBBISH
from tests.evolving.test_evolve import _found, _plan
from tests.waiting import wait_until

_CONTRACT = "dux_agent.testing.engine_contract"
_DRIVER = (
    "import sys; from pathlib import Path; "
    "from tests.evolving.test_kills import driven; driven(*map(Path, sys.argv[1:]))"
)


class _Counted(WrittenModel):
    """Replies by what it is asked; each that was paid is a line of a file."""

    model_name: str = "counted"
    calls: str

    def answer(self, chat):
        drawn = random.Random("\n".join(text for _, text in chat))
        name = drawn.choice(["adagrad", "rmsprop", "nesterov"])
        source = entry(name).source.replace("1e-", f"{drawn.randint(1, 9)}e-", 1)
        reply = drawn.choice([*_RUBBISH, f"Another.\n```python\n{source}```"])
        with open(self.calls, "a") as file:
            file.write("a reply\n")
        return reply


def driven(folder, calls):
    """Begin a search that asks, or go on with it."""
    model = _Counted(calls=str(calls))
    if (folder / "run.json").exists():
        resume(folder, lm=model)
    else:
        evolve(_asking_plan(), folder, lm=model)


def _asking_plan():
    return _plan(model="counted", budget=10, execution="inline")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Folder and calls of a search that asks, and that nobody disturbed."""
    place = tmp_path_factory.mktemp("searches")
    driven(place / "whole", place / "calls")
    return place / "whole", place / "calls"


def _lines(path):
    return path.read_bytes().count(b"\n") if path.exists() else 0


@pytest.mark.wall
@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.slow)])
@pytest.mark.timeout(3000)
def test_a_driver_that_is_killed_pays_no_reply_twice_and_finds_the_same(
    kills, whole, tmp_path
):
    folder, calls = tmp_path / "killed", tmp_path / "calls"
    draws = random.Random(kills)
    lines = _lines(whole[0] / "trace.jsonl")
    for _ in range(kills):
        wanted = _lines(folder / "trace.jsonl") + draws.randint(1, lines // kills)
        driver = subprocess.Popen(
            [sys.executable, "-c", _DRIVER, str(folder), str(calls)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        wait_until(
            lambda driver=driver, wanted=wanted: (
                _lines(folder / "trace.jsonl") >= wanted or driver.poll() is not None
            )
        )
        time.sleep(draws.uniform(0, 0.3))
        driver.kill()
        driver.wait()

    driven(folder, calls)

    assert _found(whole[0]) == _found(folder)
    paid = [event for event in read(folder) if event.kind == "reply"]
    assert _lines(whole[1]) == len(paid)
    # What was asked for at the moment of a kill was never heard.
    assert len(paid) <= _lines(calls) <= len(paid) + kills


@pytest.mark.wall
@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.slow)])
@pytest.mark.timeout(3000)
def test_workers_that_are_killed_cost_nothing_that_was_found(kills, whole, tmp_path):
    made, answered, over, said = [], [], threading.Event(), []
    draws = random.Random(kills)
    folder, calls = tmp_path / "killed", tmp_path / "calls"

    class Answering(Process):
        def answer(self, asked, seconds):
            found = super().answer(asked, seconds)
            answered.append(asked)
            return found

    def start():
        made.append(Answering(None))
        return made[-1]

    def kill():
        for _ in range(kills):
            # One answer at least between two kills: no job is killed three times, and
            # no worker before its first, however long replies take meanwhile.
            before = len(answered)
            wait_until(lambda before=before: over.is_set() or len(answered) > before)
            over.wait(draws.uniform(0, 0.3))
            with suppress(ProcessLookupError):
                os.kill(made[-1].pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        evolve(
            _asking_plan(),
            folder,
            said.append,
            lm=_Counted(calls=str(calls)),
            engine=lambda count, *, most_bytes, say: Workers(start, 1, say=say),
        )
    finally:
        over.set()
        killer.join()

    assert _found(whole[0]) == _found(folder)
    assert _lines(whole[1]) == _lines(calls)
    assert len(made) > 1
    assert any("died" in line for line in said)


@pytest.mark.wall
@pytest.mark.timeout(3000)
@pytest.mark.parametrize(
    ("job", "most", "stage"),
    [
        ({"do": f"{_CONTRACT}:hung"}, 1.0, "limit"),
        ({"do": f"{_CONTRACT}:killed"}, 240.0, "worker"),
        ({"do": f"{_CONTRACT}:filled", "size": 1 << 40}, 240.0, "worker"),
    ],
    ids=["hangs", "dies", "fills the memory"],
)
def test_trouble_in_a_worker_costs_one_evaluation_and_is_told(
    job, most, stage, tmp_path
):
    class Troubled(Process):
        def answer(self, asked, seconds):
            if asked["source"] == entry("lion").source:
                return super().answer(job, most)
            return super().answer(asked, 240.0)

    told = read_search(
        evolve(
            _plan(budget=4),
            tmp_path / "run",
            engine=lambda count, *, most_bytes, say: Workers(
                lambda: Troubled(1 << 33), 1, say=say
            ),
        )
    )

    assert 1 == told.stopped_at()[stage]
    [stopped] = [row for row in told.rows if row.stage == stage]
    assert stopped.why
    assert "search" in told.reported()
