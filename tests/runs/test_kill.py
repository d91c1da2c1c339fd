"""`dux run` killed with SIGKILL at random moments, and resumed, again and again.

DUX_KILL_ROUNDS and DUX_KILL_SEED set how often and when; `make test-slow` runs more.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import jsonschema
import pytest

from dux_agent.run_folder import trace
from dux_agent.runs.training import train
from tests.loopback import serving

pytestmark = [
    pytest.mark.wall,
    pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there"),
]

REPOSITORY = Path(__file__).parents[2]
ROUNDS = int(os.environ.get("DUX_KILL_ROUNDS", "2"))
SEED = int(os.environ.get("DUX_KILL_SEED", "5"))
LONGEST = 900.0  # seconds for one process, on a machine that does ten other things
VALIDATOR = jsonschema.Draft202012Validator(trace.schema())


def dux(server, *arguments):
    roots = (".", "graphs", "sandbox", "prompts")
    path = os.pathsep.join(str(REPOSITORY / root) for root in roots)
    address = f"http://127.0.0.1:{server.server_port}/v1"
    kept = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    settings = {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "OPENAI_BASE_URL": address}
    return subprocess.Popen(
        [sys.executable, "-m", "dux_agent", "run", *arguments],
        env={**kept, **settings, "OPENAI_API_KEY": "planted-key-4711"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def lines_in(folder):
    try:
        return (folder / "trace.jsonl").read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


def kill_at(process, folder, events, delay):
    """SIGKILL once so many events are written and `delay` seconds are over."""
    until = time.monotonic() + LONGEST
    while lines_in(folder) < events and process.poll() is None:
        assert time.monotonic() < until, "the run does not come so far"
        time.sleep(0.02)
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)


def losses(epochs):
    return [(epoch.train, epoch.val, epoch.test) for epoch in epochs]


def recorded_losses(folder):
    told = [event.data for event in trace.read(folder)]
    return [
        (data["loss"], data["val"], data["test"])
        for data in told
        if data.get("scope") == "epoch"
    ]


def uninterrupted(task, factory):
    """Three epochs that nobody kills, and the events that they leave."""
    folder = factory.mktemp(task) / "run"
    result = train(task, epochs=3, seed=3, run_dir=folder)
    return result, trace.read(folder)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return uninterrupted("digits", tmp_path_factory)


@pytest.fixture(scope="module")
def mnist(tmp_path_factory):
    if "DUX_DATA" not in os.environ:
        pytest.skip("set DUX_DATA to a folder that holds mnist/")
    return uninterrupted("mnist", tmp_path_factory)


def survive(whole, folder, rounds, seed):
    """Kill a run that often, then let it end; everything must be as in `whole`."""
    result, events = whole
    moments = random.Random(seed)
    begin = (result.task, "--epochs", "3", "--seed", "3", "--lm", "openai:tiny")
    with serving() as server:
        for _ in range(rounds):
            known = (folder / "run.json").exists()
            written = lines_in(folder)
            # The decisions are a tenth of the events and most of what can go wrong.
            kinds = [place for place, one in enumerate(events, 1) if one.decision]
            places = kinds if moments.random() < 0.6 else list(range(1, len(events)))
            left = [place for place in places if place > written] or [len(events)]
            arguments = ("--resume", str(folder)) if known else begin
            where = () if known else ("--run-dir", str(folder))
            process = dux(server, *arguments, *where)
            kill_at(process, folder, moments.choice(left), moments.random() * 0.3)
        paid = {e.data["prompt"] for e in trace.read(folder) if e.kind == "reply"}
        asked = len(server.asked)
        process = dux(server, "--resume", str(folder))
        _, errors = process.communicate(timeout=LONGEST)
        assert 0 == process.returncode, errors
        assert not paid & set(server.asked[asked:])
    assert losses(result.epochs) == recorded_losses(folder)
    ours = [(e.kind, e.step, e.decision) for e in events]
    assert ours == [(e.kind, e.step, e.decision) for e in trace.read(folder)]
    for line in (folder / "trace.jsonl").read_text().splitlines():
        VALIDATOR.validate(json.loads(line))
    for file in folder.rglob("*"):
        assert file.is_dir() or b"planted-key" not in file.read_bytes()
        assert not file.name.endswith(".part")


@pytest.mark.timeout(3600)
def test_a_run_that_is_killed_again_and_again_ends_as_if_it_had_not_been(
    digits, tmp_path
):
    survive(digits, tmp_path / "run", ROUNDS, SEED)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("seed", range(8))
def test_many_runs_that_are_killed_end_as_if_they_had_not_been(digits, tmp_path, seed):
    survive(digits, tmp_path / "run", 5, 100 + seed)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("seed", range(2))
def test_runs_on_real_data_that_are_killed_end_as_if_they_had_not_been(
    mnist, tmp_path, seed
):
    survive(mnist, tmp_path / "run", 5, 200 + seed)
