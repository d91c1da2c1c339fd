"""How much slower a training is while a language model thinks in the background."""

from __future__ import annotations

import statistics
import time

from dux_agent.benchmarks.background import background_training, seconds_of_step
from dux_agent.benchmarks.measurement import Measurement

THINKS = 5.0  # seconds
ROUNDS = 3
BAR = 5.0  # percent


def measure(seconds: float = THINKS, rounds: int = ROUNDS) -> Measurement:
    """The throughput that is lost, in percent.

    Args:
        seconds: that the model thinks.
        rounds: how often steps without and with a decision take turns.
    """
    alone: list[float] = []
    beside: list[float] = []
    with background_training(seconds) as (agent, task, batches):
        for turn in range(rounds + 1):
            times: tuple[list[float], list[float]] = ([], [])
            for now in times:
                if now is times[1]:
                    agent.decide()
                # The model answers after this: of the dry run the other figure tells.
                end = time.perf_counter() + 0.8 * seconds
                while time.perf_counter() < end:
                    now.append(seconds_of_step(agent, next(batches)))
            while len(agent.decisions) <= turn:
                agent.step(next(batches))
            if turn:  # the first warms caches and allocators up
                alone += times[0]
                beside += times[1]
    without, during = statistics.median(alone), statistics.median(beside)
    return Measurement(
        name="a training while a model thinks in the background",
        value=100 * (1 - without / during),
        bar=BAR,
        unit="%",
        detail=f"{task.name}; {len(beside)} steps in {rounds} rounds of a model that "
        f"thinks {seconds:g} s, {1e3 * during:.3f} ms against {1e3 * without:.3f} ms",
    )
