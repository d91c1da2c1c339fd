"""What an attached agent that never decides adds to a training step.

Two trainings run turn and turn about, a few steps each, so that whatever else the
machine does falls on both; the figure is the ratio of their median times.
"""

import statistics
import time
from collections.abc import Callable

import dux_agent
from dux_agent.benchmarks.measurement import Measurement
from dux_agent.benchmarks.workload import endless_batches, workload
from dux_agent.tasks.in_memory import Batch

ROUNDS = 80
STEPS_A_ROUND = 10
BAR = 3.0  # percent


def measure(rounds: int = ROUNDS, steps: int = STEPS_A_ROUND) -> Measurement:
    """The overhead in percent of a bare step.

    Args:
        rounds: how often the two trainings take turns.
        steps: training steps a turn.
    """
    bare, attached = workload(), workload()
    optimizer = bare.base_optimizer()

    def bare_step(batch: Batch) -> None:
        optimizer.zero_grad()
        loss = bare.objective(bare.model, batch)
        loss.backward()
        optimizer.step()

    with dux_agent.attach(
        attached.model, attached.base_optimizer(), attached.objective, lm="offline"
    ) as agent:

        def attached_step(batch: Batch) -> None:
            agent.optimizer.zero_grad()
            loss = attached.objective(attached.model, batch)
            loss.backward()
            agent.optimizer.step()
            agent.observe(loss, batch)

        batches = endless_batches(bare)
        times: dict[Callable[[Batch], None], list[float]] = {
            bare_step: [],
            attached_step: [],
        }
        for turn in range(rounds + 2):
            held = [next(batches) for _ in range(steps)]
            order = list(times) if turn % 2 else list(times)[::-1]
            for step in order:
                began = time.perf_counter()
                for batch in held:
                    step(batch)
                if turn >= 2:  # the first turns warm caches and allocators up
                    times[step].append((time.perf_counter() - began) / steps)
    plain = statistics.median(times[bare_step])
    watched = statistics.median(times[attached_step])
    return Measurement(
        name="an attached agent that never decides",
        value=100 * (watched / plain - 1),
        bar=BAR,
        unit="%",
        detail=f"{bare.name}; median of {rounds} rounds of {steps} steps, "
        f"{1e3 * watched:.3f} ms against {1e3 * plain:.3f} ms a step",
    )
