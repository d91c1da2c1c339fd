"""The guard of an agent that asks nobody: what it does is told in the run folder."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from dux_agent.errors import TrainingDiverged
from dux_agent.live.run_guard import RunGuard, WentBack
from dux_agent.live.saved_checkpoint import readable
from dux_agent.run_folder.events import RollbackEvent
from dux_agent.run_folder.recorder import Recorder
from dux_agent.training.training import Training
from dux_graphs.events import ErrorEvent


def guard_run(training: Training, recorder: Recorder) -> RunGuard:
    """Put a `RunGuard` behind the live optimizer in place of the guard of rules."""
    live, settings = training.live, training.settings

    def went_back(back: WentBack) -> None:
        recorder.tell(RollbackEvent(**asdict(back)), step=training.statistics.step)

    def diverged(error: TrainingDiverged) -> None:
        trouble = ErrorEvent(error=type(error).__name__, message=str(error))
        recorder.tell(trouble, step=training.statistics.step)

    guard = RunGuard(
        live,
        training.model,
        guard_steps=settings.guard_steps,
        snapshots=settings.snapshots,
        rollback_lr=settings.rollback_lr,
        max_rollbacks=settings.max_rollbacks,
    )
    guard.on_went_back, guard.on_diverged = went_back, diverged
    live.guard = guard
    training.intake.scale.given(1.0)  # its bounds are taken from the same losses
    return guard


def go_on_guarding(
    guard: RunGuard | None, state: Mapping[str, Any] | None
) -> Callable[[], None]:
    """Read what the guard of a run remembered, if there was one.

    Returns:
        What makes `guard` go on from it.

    Raises:
        CheckpointRefused: it is damaged, or of another model.
    """
    if guard is None or state is None:
        return lambda: None
    with readable("what the guard of the run remembered"):
        return guard.prepare(state)
