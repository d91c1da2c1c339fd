"""What an objective may answer, raise and start, here and in a process of its own."""

import asyncio
import os
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from dux_agent import real, tune
from dux_agent.tuning.evaluating import evaluate
from tests.waiting import alive, wait_until

SPACE = {"x": real(-1.0, 1.0)}
PLACES = {"here": {}, "apart": {"apart": True}, "within limits": {"seconds": 60.0}}


class NoFloat:
    def __float__(self):
        raise KeyError("x")


class NoText:
    def __repr__(self):
        raise RuntimeError("no text")


class Unsaid(Exception):
    def __str__(self):
        raise RuntimeError("no text")


class Strange(BaseException):
    """None of the family that `except Exception` holds."""


@pytest.fixture(params=PLACES.values(), ids=PLACES)
def outcome(request):
    return lambda objective: evaluate(objective, {"x": 0.0}, **request.param)


@pytest.mark.parametrize(
    "answer",
    [b"1", np.bool_(True), torch.tensor(True), NoFloat(), NoText(), 10**400, "y" * 999],
    ids=["bytes", "numpy truth", "torch truth", "float", "repr", "huge", "long"],
)
def test_what_is_no_number_has_failed_in_one_short_line(answer, outcome):
    found = outcome(lambda config: answer)

    assert found.value is None
    assert found.error.startswith("it gave ")
    assert len(found.error) < 130 and " at 0x" not in found.error


@pytest.mark.parametrize(
    "error",
    [
        Unsaid(),
        Strange("odd"),
        asyncio.CancelledError(),
        GeneratorExit(),
        StopIteration(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_whatever_it_raises_has_failed(error, outcome):
    def objective(config):
        raise error

    found = outcome(objective)

    assert found.value is None
    assert found.error.startswith(type(error).__name__)


@pytest.mark.parametrize(
    "report",
    [lambda: 1, torch.ones(3), {"n": float("nan")}],
    ids=["code", "tensor", "nan"],
)
def test_a_report_of_any_kind_comes_with_its_value(report, outcome):
    found = outcome(lambda config: {"value": 1.0, "report": report})

    assert (1.0, "") == (found.value, found.error)
    assert found.report is not None


@pytest.mark.parametrize("then", ["ends", "hangs"])
def test_a_trial_ends_what_it_has_started(then, tmp_path):
    noted = tmp_path / "pid"

    def objective(config):
        sleeper = [sys.executable, "-c", "import time; time.sleep(600)"]
        noted.write_text(str(subprocess.Popen(sleeper).pid))
        while then == "hangs":
            time.sleep(0.01)
        return 1.0

    limits = [2.0, 8.0, 32.0] if then == "hangs" else [60.0]
    for seconds in limits:  # a busy machine may take long to start a process
        evaluate(objective, {"x": 0.0}, seconds=seconds)
        if noted.exists():
            break

    pid = int(noted.read_text())
    wait_until(lambda: not alive(pid))


@pytest.mark.parametrize("seconds", [None, 60.0])
def test_the_end_of_a_process_is_seen_beside_one_that_it_left_behind(seconds):
    def objective(config):
        if os.fork() == 0:
            time.sleep(400)  # longer than a test may take
            os._exit(0)
        os._exit(3)

    found = evaluate(objective, {"x": 0.0}, seconds=seconds, apart=True)

    assert "its process ended with exit code 3" == found.error


@pytest.mark.parametrize("seconds", [None, 600.0])
def test_what_closes_the_pipe_has_failed_without_a_word(seconds, capfd):
    def objective(config):
        os.closerange(3, 256)
        time.sleep(0.3)  # it ends long after its pipe
        return 1.0

    found = evaluate(objective, {"x": 0.0}, seconds=seconds, apart=True)

    assert "its process ended with exit code 1" == found.error
    assert "" == capfd.readouterr().err


def test_what_closes_the_pipe_and_hangs_is_late():
    def objective(config):
        os.closerange(3, 256)
        time.sleep(120)

    found = evaluate(objective, {"x": 0.0}, seconds=1.0)

    assert "it took more than 1 s" == found.error


def test_it_may_go_to_another_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def objective(config):
        os.chdir("/")
        return config["x"] ** 2

    study = tune(objective, SPACE, budget=3, run_dir="run")

    assert (tmp_path / "run" / "best.json").exists()
    assert study.run_dir == tmp_path / "run"
