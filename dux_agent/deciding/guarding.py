"""The guard of an agent that asks nobody: what it does is told in the run folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from torch import nn

from dux_agent.errors import TrainingDiverged
from dux_agent.live.optimizer import DuxOptimizer
from dux_agent.live.run_guard import RunGuard, WentBack
from dux_agent.live.saved_checkpoint import refused
from dux_agent.run_folder.events import RollbackEvent
from dux_agent.run_folder.recorder import Recorder
from dux_agent.settings import Settings
from dux_agent.training.interval_statistics import IntervalStatistics
from dux_graphs.events import ErrorEvent


def guard_run(
    live: DuxOptimizer,
    model: nn.Module,
    settings: Settings,
    *,
    guard_steps: int,
    watch: IntervalStatistics,
    recorder: Recorder,
) -> RunGuard:
    """Put a `RunGuard` behind `live` in place of the guard of rules."""

    def went_back(back: WentBack) -> None:
        recorder.tell(RollbackEvent(**asdict(back)), step=watch.step)

    def diverged(error: TrainingDiverged) -> None:
        trouble = ErrorEvent(error=type(error).__name__, message=str(error))
        recorder.tell(trouble, step=watch.step)

    guard = RunGuard(
        live,
        model,
        guard_steps=guard_steps,
        snapshots=settings.snapshots,
        rollback_lr=settings.rollback_lr,
        max_rollbacks=settings.max_rollbacks,
    )
    guard.on_went_back, guard.on_diverged = went_back, diverged
    live.guard = guard
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
    try:
        return guard.prepare(state)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise refused(
            f"what the guard of the run remembered cannot be read: {error}"
        ) from None
