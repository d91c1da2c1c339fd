"""Rows that one optimizer trains from the first step to the last."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dux_agent.benchmarks.table1.course import Begin, Step, stepping
from dux_agent.benchmarks.table1.row import Row, plainly
from dux_agent.tasks.protocol import Task
from dux_sandbox.zoo import entry

RECIPE = (1e-2, 1e-2, 1e-2 / 3, 1e-3)
"""Rates of AdamW in the last four fifths of the fixed recipe."""

_ADAM_RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
_SGD_RATES = (3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0)
_RATE = 3e-3  # of OneCycle's peak, and of Muon with AdamW


def plain_rows() -> Iterable[Row]:
    """Them, in the order of the table; nobody is asked in any."""
    yield control_row()
    yield _row("adamw", "AdamW 1e-3", _adamw)
    yield _row("onecycle", f"AdamW + OneCycle, peak {_RATE:g}", _one_cycle)
    yield _zoo_row("schedule-free", "schedule-free AdamW 2.5e-3", "schedule_free_adamw")
    yield _zoo_row("lion", "Lion 3e-4", "lion", lr=3e-4)
    yield _row("muon", f"Muon + AdamW {_RATE:g}", _muon)
    yield _zoo_row("soap", "SOAP 3e-3", "soap")
    yield _grid("adam-oracle", "Adam", _adam, _ADAM_RATES)
    yield _grid("sgd-oracle", "SGD momentum 0.9", _sgd, _SGD_RATES)
    yield _row("recipe", "fixed recipe: base, then AdamW", recipe, on_base=True)


def control_row() -> Row:
    """The one that all others are compared with."""
    return _row("control", "control: the base alone", control, on_base=True)


def control(task: Task) -> Step:
    """The base optimizer alone."""
    return stepping(task, task.base_optimizer())


def recipe(task: Task) -> Step:
    """The base for a fifth of the run, then AdamW at `RECIPE`, a fifth each."""
    first = control(task)
    fifth = math.ceil(task.epochs * task.steps_per_epoch / 5)
    taken, rest = 0, first
    optimizer: torch.optim.Optimizer

    def step(batch: Any) -> float:
        nonlocal taken, rest, optimizer
        if taken == fifth:
            optimizer = torch.optim.AdamW(task.model.parameters())
            rest = stepping(task, optimizer)
        if taken >= fifth:
            optimizer.param_groups[0]["lr"] = RECIPE[min(3, taken // fifth - 1)]
        taken += 1
        return rest(batch)

    return step


def _adamw(task: Task) -> Step:
    return stepping(task, torch.optim.AdamW(task.model.parameters(), lr=1e-3))


def _one_cycle(task: Task) -> Step:
    optimizer = torch.optim.AdamW(task.model.parameters())
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, _RATE, total_steps=task.epochs * task.steps_per_epoch
    )

    def after() -> None:
        # The last step needs no rate after it, and the scheduler has none.
        if scheduler.last_epoch < task.epochs * task.steps_per_epoch - 1:
            scheduler.step()

    return stepping(task, optimizer, after=after)


def _adam(rate: float, task: Task) -> Step:
    return stepping(task, torch.optim.Adam(task.model.parameters(), lr=rate))


def _sgd(rate: float, task: Task) -> Step:
    optimizer = torch.optim.SGD(task.model.parameters(), lr=rate, momentum=0.9)
    return stepping(task, optimizer)


def _muon(task: Task) -> Step:
    """Torch's Muon on hidden matrices, AdamW on all else."""
    hidden = hidden_matrices(task.model)
    ids = set(map(id, hidden))
    rest = [p for p in task.model.parameters() if id(p) not in ids]
    optimizers: list[torch.optim.Optimizer] = [torch.optim.AdamW(rest, lr=_RATE)]
    if hidden:
        muon = torch.optim.Muon(hidden, lr=_RATE, adjust_lr_fn="match_rms_adamw")
        optimizers.append(muon)
    return stepping(task, *optimizers)


def hidden_matrices(model: nn.Module) -> list[nn.Parameter]:
    """All matrices but embeddings and the last one, which is the head."""
    embedded = {
        id(parameter)
        for module in model.modules()
        if isinstance(module, nn.Embedding | nn.EmbeddingBag)
        for parameter in module.parameters(recurse=False)
    }
    matrices = [p for p in model.parameters() if p.ndim == 2]
    return [p for p in matrices[:-1] if id(p) not in embedded]


def of_zoo(name: str, options: dict[str, Any], task: Task) -> Step:
    """An optimizer of the zoo; one that averages is switched as the model's mode is."""
    held, written = {"__name__": f"{__name__}.{name}"}, entry(name)
    # Our own file, as plain Python makes it: nothing of the jail is in the figures.
    exec(compile(written.source, written.file, "exec"), held)
    made: Any = held[written.rule]
    optimizer = made(task.model.parameters(), **options)
    if hasattr(optimizer, "eval"):

        def switch(model: nn.Module, _: Any) -> None:
            optimizer.train() if model.training else optimizer.eval()

        task.model.register_forward_pre_hook(switch)
    return stepping(task, optimizer)


def _row(name: str, title: str, begin: Begin, *, on_base: bool = False) -> Row:
    ways = {"": plainly(begin)}
    return Row(name, title, ways, on_base=on_base, modules=(__name__,))


def _zoo_row(name: str, title: str, source: str, **options: Any) -> Row:
    return Row(
        name,
        title,
        {"": plainly(partial(of_zoo, source, options))},
        modules=(__name__,),
        files=(Path(entry(source).file),),
    )


def _grid(
    name: str,
    title: str,
    begin: Callable[[float, Task], Step],
    rates: Iterable[float],
) -> Row:
    ways = {f"{rate:g}": plainly(partial(begin, rate)) for rate in rates}
    title = f"{title}, best of {len(ways)} rates by test loss"
    return Row(name, title, ways, modules=(__name__,))
