"""What a run folder adds to a training step: the trace, and checkpoints beside it.

Two agents that never decide train turn and turn about, one with a run folder and one
without, so that whatever else the machine does falls on both. The figure is the median
ratio of neighbouring turns, and the share of the time that checkpoints take on top.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import dux_agent
from dux_agent.benchmarks.measurement import Measurement
from dux_agent.benchmarks.workload import endless_batches, workload
from dux_agent.record import run_checkpoint

if TYPE_CHECKING:
    from dux_agent.agent import Agent

ROUNDS = 80
STEPS_A_ROUND = 6  # every loss of the first 512 steps is written, later fewer
BAR = 1.0  # percent


def measure(rounds: int = ROUNDS, steps: int = STEPS_A_ROUND) -> Measurement:
    """The cost in percent of a step without a run folder.

    Args:
        rounds: how often the two trainings take turns.
        steps: training steps a turn.
    """
    bare, traced = workload(), workload()
    with tempfile.TemporaryDirectory(prefix="dux-bench-") as place:
        folder = Path(place) / "run"
        with (
            dux_agent.attach(
                bare.model, bare.base_optimizer(), bare.objective, lm="offline"
            ) as plain,
            dux_agent.attach(
                traced.model,
                traced.base_optimizer(),
                traced.objective,
                lm="offline",
                run_dir=folder,
            ) as recorded,
        ):
            batches = endless_batches(bare)
            times: dict[Agent, list[float]] = {plain: [], recorded: []}
            for turn in range(rounds + 2):
                held = [next(batches) for _ in range(steps)]
                for agent in list(times) if turn % 2 else list(times)[::-1]:
                    began = time.perf_counter()
                    for batch in held:
                        agent.step(batch)
                    if turn >= 2:  # the first turns warm caches and allocators up
                        times[agent].append((time.perf_counter() - began) / steps)
            saving = _checkpoint_seconds(recorded, folder)
    without, with_trace = (statistics.median(times[each]) for each in (plain, recorded))
    share = 100 * saving / run_checkpoint.seconds_between(saving)
    ratios = (b / a for a, b in zip(times[plain], times[recorded], strict=True))
    trace = 100 * (statistics.median(ratios) - 1)
    return Measurement(
        name="a run folder",
        value=trace + share,
        bar=BAR,
        unit="%",
        detail=f"{bare.name}; median of {rounds} rounds of {steps} steps, "
        f"{1e3 * with_trace:.3f} ms against {1e3 * without:.3f} ms a step; trace "
        f"{trace:.2f} %, checkpoints {share:.2f} % ({1e3 * saving:.0f} ms each)",
    )


def _checkpoint_seconds(agent: Agent, folder: Path) -> float:
    """How long one checkpoint of this training takes, seconds."""
    began = time.perf_counter()
    run_checkpoint.save(
        folder, {"model": agent.model.state_dict(), "agent": agent.state_dict()}
    )
    return time.perf_counter() - began
