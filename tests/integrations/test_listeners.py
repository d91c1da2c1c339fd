"""A run's events in MLflow, Weights & Biases and Trackio, as they read them back."""

import json
import os
import subprocess
import sys

import pytest

from dux_agent.errors import MissingExtra
from dux_agent.integrations.mlflow import MLflow
from dux_agent.integrations.playing import play
from dux_agent.integrations.trackio import Trackio
from dux_agent.integrations.wandb import WeightsAndBiases
from tests.run_folders import usual

KINDS = {"mlflow": MLflow, "wandb": WeightsAndBiases, "trackio": Trackio}


@pytest.fixture
def installed(request, tmp_path, monkeypatch):
    """Where the package is there: it writes below a folder of the test's, alone."""

    def need(package):
        pytest.importorskip(package, reason=f"the extra {package} is not installed")
        monkeypatch.chdir(tmp_path)
        for name in ("HOME", "WANDB_DIR"):
            monkeypatch.setenv(name, str(tmp_path))

    return need


@pytest.mark.filterwarnings("ignore")
def test_losses_and_decisions_can_be_read_back_from_mlflow(tmp_path, installed):
    installed("mlflow")
    from mlflow import MlflowClient

    path, store = usual(tmp_path / "run"), f"sqlite:///{tmp_path}/mlflow.db"
    with MLflow(store, name="mine", folder=path) as board:
        play(path, board)

    client = MlflowClient(store)
    losses = client.get_metric_history(board.run_id, "loss/train")
    assert 20 == len(losses) and pytest.approx(0.1) == losses[-1].value
    told = [
        (m.step, m.value) for m in client.get_metric_history(board.run_id, "epoch/val")
    ]
    assert [(1, 2.0), (2, 1.0)] == told
    assert "FINISHED" == client.get_run(board.run_id).info.status
    kept = client.download_artifacts(board.run_id, "decisions", str(tmp_path))
    text = next((tmp_path / kept).glob("*15.md")).read_text()
    assert "decision 2, step 15: applied" in text and "number 2." in text


@pytest.mark.filterwarnings("ignore")
def test_weights_and_biases_writes_a_run_that_can_be_sent_later(tmp_path, installed):
    installed("wandb")
    path = usual(tmp_path / "run")
    quiet = __import__("wandb").Settings(console="off", silent=True)

    with WeightsAndBiases(folder=path, dir=str(tmp_path), settings=quiet) as board:
        play(path, board)
        summary = dict(board._run.summary)

    written = b"".join(p.read_bytes() for p in tmp_path.glob("wandb/offline-*/*.wandb"))
    assert pytest.approx(0.1) == summary["loss/train"]
    assert 1.0 == summary["epoch/val"]
    assert b"decision/seconds" in written
    assert any("step 15: applied" in p.read_text() for p in tmp_path.rglob("*.html"))


TO_TRACKIO = """
import json, sys
from dux_agent.integrations.playing import play
from dux_agent.integrations.trackio import Trackio
from trackio.sqlite_storage import SQLiteStorage

with Trackio("mine", name="first", folder="run") as board:
    play("run", board)
json.dump(SQLiteStorage.get_logs("mine", "first"), open("told", "w"), default=str)
"""


def test_losses_and_decisions_can_be_read_back_from_trackio(tmp_path):
    pytest.importorskip("trackio", reason="the extra trackio is not installed")
    usual(tmp_path / "run")

    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", TO_TRACKIO],
        cwd=tmp_path,
        # It settles where it keeps things when it is imported.
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(each for each in sys.path if each),
            "HF_HOME": str(tmp_path),
        },
        capture_output=True,
        text=True,
        timeout=200,
    )

    assert 0 == done.returncode, done.stderr
    rows = json.loads((tmp_path / "told").read_text())
    losses = [row["loss/train"] for row in rows if "loss/train" in row]
    assert 20 == len(losses) and pytest.approx(0.1) == losses[-1]
    assert "step 15: applied" in str([row for row in rows if "decisions" in row])


@pytest.mark.parametrize("package", KINDS)
def test_a_missing_package_ends_in_the_command_that_installs_it(monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)

    with pytest.raises(MissingExtra, match=rf"pip install 'dux-agent\[{package}\]'$"):
        KINDS[package]()
