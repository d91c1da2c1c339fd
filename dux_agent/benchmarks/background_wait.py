"""How long a step waits for a dry run that is done in the background."""

import time
from contextlib import closing

from dux_agent.agent import Agent
from dux_agent.benchmarks.background import background_training
from dux_agent.benchmarks.measurement import Measurement
from dux_agent.tasks.in_memory import Batch, InMemoryTask
from dux_sandbox.dry_runs.slices import Slices

DECISIONS = 4
STEPS = 40
LEAST = 0.05  # seconds
BAR = 1.0


def measure(decisions: int = DECISIONS, steps: int = STEPS) -> Measurement:
    """The longest wait of a step, in times of what it may be.

    That is the longest of a step of the dry run, a copy of the model and 50 ms. The
    swap itself, which waits for the rule to be built, is not part of the dry run.

    Args:
        decisions: of which the first does not count.
        steps: before each.
    """
    waits: list[float] = []
    slices: list[float] = []
    with background_training(0.0) as (agent, task, batches):
        for turn in range(decisions):
            for _ in range(steps):
                agent.step(next(batches))
            agent.decide()
            while len(agent.decisions) <= turn:
                waited = _seconds_between_steps(agent, task, next(batches))
                if turn and len(agent.decisions) <= turn:
                    waits.append(waited)
            if turn:
                source = agent.optimizer.running.source or ""
                alone = agent.training.in_slices(source, steps=10, seed=0, sliced=True)
                slices += _seconds_of_each(alone)
    longest = max(LEAST, *slices)
    return Measurement(
        name="the longest wait of a step for a dry run in the background",
        value=max(waits) / longest,
        bar=BAR,
        unit="times",
        detail=f"{task.name}; {1e3 * max(waits):.1f} ms in {len(waits)} steps beside "
        f"{decisions - 1} dry runs; a slice takes {1e3 * max(slices):.1f} ms at most",
    )


def _seconds_between_steps(agent: Agent, task: InMemoryTask, batch: Batch) -> float:
    """A step of the loop, and how long the next one waits for the agent."""
    agent.optimizer.zero_grad()
    loss = task.objective(task.model, batch)
    loss.backward()
    agent.optimizer.step()
    began = time.perf_counter()
    agent.observe(loss, batch)
    return time.perf_counter() - began


def _seconds_of_each(work: Slices[object]) -> list[float]:
    """What each slice takes."""
    seconds: list[float] = []
    with closing(work):
        while True:
            began = time.perf_counter()
            try:
                next(work)
            except StopIteration:
                return seconds
            finally:
                seconds.append(time.perf_counter() - began)
