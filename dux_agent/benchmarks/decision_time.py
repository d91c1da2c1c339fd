"""How long a whole decision with the offline model takes, after the first.

A decision is everything from the observation to the verdict: prompt, reply, static
check, dry run of proposal and incumbent, swap.
"""

import time

import dux_agent
from dux_agent.benchmarks.measurement import Measurement
from dux_agent.benchmarks.workload import endless_batches, workload

DECISIONS = 4
BAR = 1.0  # seconds


def measure(decisions: int = DECISIONS, steps: int | None = None) -> Measurement:
    """The longest decision but the first, in seconds.

    Args:
        decisions: how many are made.
        steps: training steps before each; an epoch when left out.
    """
    task = workload()
    steps = steps or task.steps_per_epoch
    seconds = []
    with dux_agent.attach(
        task.model,
        task.base_optimizer(),
        task.objective,
        lm="offline",
        total_steps=steps * (decisions + 1),
        validate=lambda model: task.evaluate("val", model),
    ) as agent:
        batches = endless_batches(task)
        for _ in range(decisions):
            for _ in range(steps):
                agent.step(next(batches))
            began = time.perf_counter()
            agent.decide()
            seconds.append(time.perf_counter() - began)
    later = seconds[1:] or seconds
    return Measurement(
        name="a whole decision with the offline model",
        value=max(later),
        bar=BAR,
        unit="s",
        detail=f"{task.name}; longest of {len(later)} after the first, which took "
        f"{seconds[0]:.2f} s",
    )
