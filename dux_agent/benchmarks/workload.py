"""The training that the benchmarks time: mnist, or data of its shape."""

import os
from collections.abc import Iterator
from itertools import count
from typing import cast

import torch
from torch.nn import functional

from dux_agent import tasks
from dux_agent.tasks.in_memory import Batch, InMemoryTask
from dux_agent.tasks.sigmoid_mlp import sigmoid_mlp


def workload(seed: int = 0) -> InMemoryTask:
    """The task mnist where DUX_DATA is set, else random pictures of its shape.

    A step costs the same on both: what an optimizer does does not depend on the
    values. Only the first one shows sensible losses.
    """
    if os.environ.get("DUX_DATA"):
        return cast(InMemoryTask, tasks.build("mnist", seed))
    generator = torch.Generator().manual_seed(seed)

    def pictures(samples: int) -> Batch:
        return (
            torch.rand(samples, 784, generator=generator),
            torch.randint(10, (samples,), generator=generator),
        )

    splits = {
        "train": pictures(54_000),
        "val": pictures(6_000),
        "test": pictures(1_000),
    }
    torch.manual_seed(seed)
    model = sigmoid_mlp(784, 256, 128, 10)
    return InMemoryTask(
        name="random pictures of mnist's shape",
        description="",
        loss_name="cross entropy",
        model=model,
        loss=functional.cross_entropy,
        base=lambda: torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9),
        batch_size=400,
        seed=seed,
        splits=splits,
    )


def endless_batches(task: InMemoryTask) -> Iterator[Batch]:
    """The task's training batches, epoch after epoch."""
    for epoch in count():
        yield from task.train_batches(epoch)
