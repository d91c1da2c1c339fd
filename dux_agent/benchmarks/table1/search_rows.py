"""Rows that train several times and keep what validates best."""

from __future__ import annotations

import copy
import json
import math
import random
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import torch

from dux_agent import tasks
from dux_agent.benchmarks.table1.course import Course, Training, stepping
from dux_agent.benchmarks.table1.row import Asked, Row
from dux_agent.tuning.tune import tune
from dux_prompts.tuning.hyperparameters import one_of, real

_RANDOM, _TPE, _MEMBERS = 5, 10, 4
_RATES = (1e-4, 3e-2)
_CHANGES = (0.8, 1.2)  # of the rate of whoever takes another's weights over

_KINDS = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "rmsprop": torch.optim.RMSprop,
}
SPACE = {
    "optimizer": one_of("sgd", *_KINDS),
    "momentum_rate": real(1e-3, 1.0, log=True, when={"optimizer": "sgd"}),
    "rate": real(*_RATES, log=True, when={"optimizer": list(_KINDS)}),
}
"""SGD with momentum 0.9, Adam, AdamW or RMSprop, at a rate."""

_MADE_OF = (__name__, "dux_agent.tuning", "dux_graphs.tuning", "dux_prompts.tuning")
_PACKAGES = ("torch", "optuna", "numpy", "scipy")


def search_rows() -> Iterable[Row]:
    """Them, in the order of the table."""
    for name, title, sampler, budget in (
        ("random", f"random search, {_RANDOM} trainings", "random", _RANDOM),
        ("tpe", f"Optuna TPE, {_TPE} trainings", "tpe", _TPE),
    ):
        yield Row(
            name,
            title,
            {"": partial(_searched, sampler, budget)},
            trainings=budget,
            modules=_MADE_OF,
            packages=_PACKAGES,
        )
    yield Row(
        "pbt",
        f"population based training, {_MEMBERS} members",
        {"": _population},
        trainings=_MEMBERS,
        modules=(__name__,),
    )


def _optimizer(config: Mapping[str, Any], parameters: Any) -> torch.optim.Optimizer:
    if config["optimizer"] == "sgd":
        return torch.optim.SGD(parameters, lr=config["momentum_rate"], momentum=0.9)
    made: Any = _KINDS[config["optimizer"]]
    optimizer: torch.optim.Optimizer = made(parameters, lr=config["rate"])
    return optimizer


def _searched(sampler: str, budget: int, asked: Asked) -> Course:
    """The training with the best final validation loss of so many."""
    courses: dict[str, Course] = {}

    def objective(config: dict[str, Any]) -> float:
        task = tasks.build(asked.task, asked.seed)
        optimizer = _optimizer(config, task.model.parameters())
        course = Training(task, stepping(task, optimizer)).run()
        courses[json.dumps(config, sort_keys=True)] = course
        return course.val[-1]

    study = tune(
        objective, SPACE, lm=None, then=sampler, budget=budget, seed=asked.seed
    )
    if study.best is None:
        first = next(iter(courses.values()))
        return first.costing(courses.values(), "none: all diverged")
    config = study.best.config
    best = courses[json.dumps(config, sort_keys=True)]
    rate = config.get("rate", config.get("momentum_rate"))
    return best.costing(courses.values(), f"{config['optimizer']} {rate:.2g}")


def _population(asked: Asked) -> Course:
    """Adam at four rates; after each epoch the worst goes on from the best.

    It takes over weights and state, and a rate a fifth above or below (Jaderberg et
    al., Population based training of neural networks, 2017, as Ray's scheduler has it).
    """
    rng = random.Random(f"population:{asked.seed}")
    low, high = map(math.log, _RATES)
    members, optimizers = [], []
    for _ in range(_MEMBERS):
        task = tasks.build(asked.task, asked.seed)
        rate = math.exp(rng.uniform(low, high))
        optimizers.append(torch.optim.Adam(task.model.parameters(), lr=rate))
        members.append(Training(task, stepping(task, optimizers[-1])))
    epochs = members[0].task.epochs
    for epoch in range(1, epochs + 1):
        courses = [member.run(epoch) for member in members]
        order = sorted(range(_MEMBERS), key=lambda at: _validated(courses[at]))
        best, worst = order[0], order[-1]
        if epoch < epochs:
            _take_over(members[best], members[worst])
            state = copy.deepcopy(optimizers[best].state_dict())
            optimizers[worst].load_state_dict(state)
            change = rng.choice(_CHANGES)
            optimizers[worst].param_groups[0]["lr"] *= change
    rate = optimizers[best].param_groups[0]["lr"]
    return courses[best].costing(courses, f"adam {rate:.2g}")


def _validated(course: Course) -> float:
    return course.val[-1] if math.isfinite(course.val[-1]) else math.inf


def _take_over(best: Training, worst: Training) -> None:
    worst.task.model.load_state_dict(best.task.model.state_dict())
    worst.epochs[:] = best.epochs
