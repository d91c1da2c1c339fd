"""Tasks for tests of searches: a few weights, a few steps, no time to speak of."""

import time
from functools import partial

import torch
from torch import nn
from torch.nn import functional

from dux_agent.tasks.in_memory import InMemoryTask


def _build(seed, *, width):
    torch.manual_seed(width)
    inputs = torch.randn(48, width)
    targets = inputs @ torch.randn(width, 2) + 1
    torch.manual_seed(seed)
    model = nn.Linear(width, 2)
    splits = {"train": slice(0, 32), "val": slice(32, 40), "test": slice(40, 48)}
    return InMemoryTask(
        name=f"tiny-{width}",
        description="a line",
        loss_name="mean squared error",
        model=model,
        loss=functional.mse_loss,
        base=lambda: torch.optim.SGD(model.parameters(), lr=0.1),
        batch_size=8,
        seed=seed,
        splits={name: (inputs[at], targets[at]) for name, at in splits.items()},
        epochs=2,
    )


chosen_by = partial(_build, width=3)
validated_on = partial(_build, width=4)
reported_on = partial(_build, width=5)


def never_built(seed):
    """Hangs for longer than any test may take."""
    time.sleep(400)
