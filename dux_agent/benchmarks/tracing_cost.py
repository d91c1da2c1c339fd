"""What a run folder adds to a training step: the trace, and checkpoints beside it.

An agent that never decides trains with a run folder, and the time inside the folder is
set beside the rest of the same steps. Two trainings side by side, with a folder and
without, differ by more than that from one turn to the next: 1 to 8 % were seen where
writing took 0.2 %. The share that checkpoints take comes on top.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dux_agent
from dux_agent.benchmarks.measurement import Measurement
from dux_agent.benchmarks.workload import endless_batches, workload
from dux_agent.run_folder import run_checkpoint
from dux_agent.run_folder.folder import RunFolder
from dux_agent.run_folder.trace import Event

if TYPE_CHECKING:
    from dux_agent.agent import Agent

STEPS = 480  # every loss of the first 512 steps is written, later fewer
WARM = 24  # steps that warm caches and allocators up
BAR = 1.0  # percent


class _Timed(RunFolder):
    """Adds up the time that its events take, seconds."""

    spent = 0.0

    def event(self, *args: Any, **options: Any) -> Event:
        return self._timed(super().event, *args, **options)

    def loss(self, *args: Any) -> Event:
        return self._timed(super().loss, *args)

    def _timed(self, tell: Callable[..., Event], *args: Any, **options: Any) -> Event:
        began = time.perf_counter()
        try:
            return tell(*args, **options)
        finally:
            self.spent += time.perf_counter() - began


def measure(steps: int = STEPS) -> Measurement:
    """The cost in percent of a step without a run folder.

    Args:
        steps: training steps.
    """
    held = workload()
    with tempfile.TemporaryDirectory(prefix="dux-bench-") as place:
        folder = Path(place) / "run"
        RunFolder.create(folder, {"task": held.name, "seed": 0}).close()
        timed = _Timed(folder)
        with (
            timed,
            dux_agent.attach(
                held.model,
                held.base_optimizer(),
                held.objective,
                lm="offline",
                run_dir=timed,
            ) as agent,
        ):
            batches = endless_batches(held)
            for _ in range(WARM):
                agent.step(next(batches))
            given = [next(batches) for _ in range(steps)]
            timed.spent, began = 0.0, time.perf_counter()
            for batch in given:
                agent.step(batch)
            whole = time.perf_counter() - began
            writing = timed.spent
            saving = _checkpoint_seconds(agent, folder)
    share = 100 * saving / run_checkpoint.seconds_between(saving)
    trace = 100 * writing / (whole - writing)
    return Measurement(
        name="a run folder",
        value=trace + share,
        bar=BAR,
        unit="%",
        detail=f"{held.name}; {steps} steps of {1e3 * whole / steps:.3f} ms, "
        f"{1e6 * writing / steps:.0f} us of each in the folder; trace {trace:.2f} %, "
        f"checkpoints {share:.2f} % ({1e3 * saving:.0f} ms each)",
    )


def _checkpoint_seconds(agent: Agent, folder: Path) -> float:
    """How long one checkpoint of this training takes, seconds."""
    began = time.perf_counter()
    run_checkpoint.save(
        folder, {"model": agent.model.state_dict(), "agent": agent.state_dict()}
    )
    return time.perf_counter() - began
