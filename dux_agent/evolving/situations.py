"""Where the trainings of a search begin, as a library of experience knows places."""

from __future__ import annotations

from functools import cache

import torch

from dux_agent.experience.situation import Situation, kinds_of
from dux_agent.tasks import build
from dux_agent.training.structure import describe_model


@cache
def beginning_of(task: str) -> Situation:
    """The situation before the first step of a task, which is built for it.

    No random number of the process's is drawn.

    Raises:
        BadArgument: there is no such task. DataMissing: its data are not there.
    """
    with torch.random.fork_rng(devices=[]):
        built = build(task, 0)
    model = describe_model(built.model)
    return Situation(
        layers=tuple(sorted(set(kinds_of(model)))),
        parameters=model["parameters"],
        loss=built.loss_name,
        stage=0.0,
    )
