"""A run of digits, logged to MLflow while it goes on.

    pip install mlflow          # or mlflow-skinny sqlalchemy alembic, which is smaller
    python examples/mlflow_run.py

Parameters, losses by step and epoch, what became of each decision, every source, and
the report at the end; all in the file mlflow.db, no server needed.
"""

from __future__ import annotations

import sys
from pathlib import Path

import mlflow

from dux_agent.report.page import write_report
from dux_agent.run_folder.run_facts import read_facts
from dux_agent.run_folder.trace import Event
from dux_agent.runs.training import Progress, train


def log(event: Event) -> None:
    """One event of the run's trace."""
    data = event.data
    if event.kind == "loss" and data.get("scope") == "epoch":
        for name, key in (("train", "loss"), ("val", "val"), ("test", "test")):
            mlflow.log_metric(f"epoch_{name}", float(data[key]), step=data["epoch"])
    elif event.kind == "loss" and "scope" not in data:
        mlflow.log_metric("loss", float(data["loss"]), step=event.step)
    elif event.kind == "apply":
        applied = data["verdict"] == "applied"
        mlflow.log_metric("applied", float(applied), step=event.step)
        mlflow.log_metric("seconds", data["seconds"], step=event.step)
        mlflow.set_tag(f"decision.{event.decision}", data["verdict"])
    elif event.kind == "rollback":
        mlflow.set_tag(f"decision.{event.decision}", "rolled_back")


def listen(progress: Progress) -> None:
    """What `train` tells while it goes on: here only the events are of interest."""
    if progress.event is not None:
        log(progress.event)


def main(folder: str = "runs/mlflow", epochs: int = 3) -> None:
    """Train, log, and keep sources and report as artifacts."""
    mlflow.set_tracking_uri("sqlite:///mlflow.db")
    mlflow.set_experiment("dux-agent")
    with mlflow.start_run():
        result = train("digits", epochs=epochs, run_dir=folder, on_event=listen)
        path = Path(folder)
        facts = read_facts(path)
        mlflow.log_params({name: facts[name] for name in ("task", "seed", "model")})
        mlflow.log_artifacts(str(path / "sources"), "sources")
        mlflow.log_artifact(str(write_report([path])))
    print(f"test loss {result.epochs[-1].test:.4f}, logged to mlflow.db")


if __name__ == "__main__":
    main(*sys.argv[1:2])
