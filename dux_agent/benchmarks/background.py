"""A training that a language model is asked for in the background: what that costs.

What both figures share: a training, and a model that takes its time.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dux_agent
from dux_agent.agent import Agent
from dux_agent.benchmarks.workload import endless_batches, workload
from dux_agent.tasks.in_memory import Batch, InMemoryTask
from dux_graphs.offline.model import OfflineRules


class Thinking(OfflineRules):
    """The offline rules, after so many seconds."""

    seconds: float

    def _generate(self, *given: Any, **options: Any) -> Any:
        time.sleep(self.seconds)
        return super()._generate(*given, **options)


@contextmanager
def background_training(
    seconds: float,
) -> Iterator[tuple[Agent, InMemoryTask, Iterator[Batch]]]:
    """A training with its agent and batches; the model thinks for so many seconds."""
    task = workload()
    with dux_agent.attach(
        task.model,
        task.base_optimizer(),
        task.objective,
        lm=Thinking(seconds=seconds),
        background=True,
        execution="inline",  # steps that no other process has a part in
        total_steps=100_000,
    ) as agent:
        yield agent, task, endless_batches(task)


def seconds_of_step(agent: Agent, batch: Batch) -> float:
    """One step of the training, timed."""
    began = time.perf_counter()
    agent.step(batch)
    return time.perf_counter() - began
