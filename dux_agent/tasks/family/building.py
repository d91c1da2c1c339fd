"""Builds a member of the family: its data, its model, and the base that is named."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from dux_agent.tasks.family.bases import base_of
from dux_agent.tasks.family.members import MEMBERS, parts_of
from dux_agent.tasks.in_memory import DATA_SEED, Batch, InMemoryTask

EPOCHS = 5


@dataclass(frozen=True)
class Recipe:
    """What makes one member.

    Attributes:
        data: draws so many samples with a generator: inputs and targets.
        model: a new one, its weights drawn by torch's global generator.
        loss: (model output, target) -> scalar tensor.
        loss_name: in words.
        sgd, adam: good rates of SGD with momentum 0.9 and of Adam.
        samples: of training; a quarter as many each to validate and to test on.
        batch: samples a step.
    """

    data: Callable[[int, torch.Generator], Batch]
    model: Callable[[], nn.Module]
    loss: Callable[[Any, Tensor], Tensor]
    loss_name: str
    sgd: float
    adam: float
    samples: int = 640
    batch: int = 16


def build(
    name: str,
    seed: int,
    *,
    device: torch.device | None = None,
    dtype: torch.dtype | None = None,
) -> InMemoryTask:
    """The member of that name, with the initial weights of `seed`.

    Raises:
        BadArgument: it names no base.
    """
    member, base = parts_of(name)
    module = import_module(f"dux_agent.tasks.family.{MEMBERS[member].module}")
    recipe: Recipe = getattr(module, member.replace("-", "_"))()
    splits = {}
    counts = {"train": 1.0, "val": 0.25, "test": 0.25}
    for place, (split, share) in enumerate(counts.items()):
        generator = torch.Generator().manual_seed(DATA_SEED + 101 + place)
        splits[split] = recipe.data(int(recipe.samples * share), generator)
    torch.manual_seed(seed)
    model = recipe.model()
    steps = EPOCHS * (recipe.samples // recipe.batch)
    return InMemoryTask(
        name=name,
        description=MEMBERS[member].what,
        loss_name=recipe.loss_name,
        model=model,
        loss=recipe.loss,
        base=lambda: base_of(
            base, model, sgd=recipe.sgd, adam=recipe.adam, steps=steps
        ),
        batch_size=recipe.batch,
        seed=seed,
        epochs=EPOCHS,
        device=device,
        dtype=dtype,
        splits=splits,
    )
