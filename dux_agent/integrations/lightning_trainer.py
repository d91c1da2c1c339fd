"""Lightning's trainer: its optimizers, schedulers, length, loggers and progress bar."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback

from dux_agent.agent import Agent
from dux_agent.integrations.news import DecisionNews, account, figures
from dux_agent.live.schedulers import all_parts_of

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

_EVERY_STEP = (
    "on_train_batch_start",
    "on_before_zero_grad",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
)


def names_of(module: Any, optimizers: Sequence[Any]) -> list[str]:
    """What the names of each one's parameters begin with, or its number."""
    known = {id(each): name for name, each in module.named_parameters()}
    names = []
    for optimizer in optimizers:
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        first = {known.get(id(each), "").split(".")[0] for each in parameters}
        names.append(first.pop() if len(first) == 1 else "")
    if len(set(names)) < len(names) or not all(names):
        return [str(index) for index in range(len(names))]
    return names


def total_steps(trainer: Trainer) -> int | None:
    """Optimizer steps of the whole run, where the trainer knows."""
    if not trainer.lightning_module.automatic_optimization:
        return None
    try:
        total = trainer.estimated_stepping_batches
    except MisconfigurationException:  # the accumulation changes on the way
        return None
    return int(total) if math.isfinite(total) else None


def spare_hooks(callback: Callback, ours: type[Callback], sparing: bool) -> None:
    """Spare a step what Lightning does around hooks that do nothing, some 60 us.

    It passes over a hook that is None. One that a subclass of `ours` has is called.
    """
    for name in _EVERY_STEP:
        known = getattr(Callback, name), getattr(ours, name)
        if sparing and getattr(type(callback), name) in known:
            vars(callback)[name] = None
        else:
            vars(callback).pop(name, None)


def point_schedulers(trainer: Trainer, base: Any, live: Any) -> None:
    """Have the schedulers over `base`, and their parts, hold the live optimizer."""
    for config in trainer.lr_scheduler_configs:
        for scheduler in (config.scheduler, *all_parts_of(config.scheduler)):
            if getattr(scheduler, "optimizer", None) is base:
                scheduler.optimizer = live


def tell(
    trainer: Trainer, agent: Agent, news: DecisionNews, under: str, *, again: bool
) -> None:
    """Log what is new to the trainer's loggers, and show it in its progress bar.

    Args:
        under: what the names of the figures begin with.
        again: show it though nothing is new: the bar forgets at each epoch's end.
    """
    new = news.take()
    for decision in new:
        told = figures(agent, decision, under)
        for logger in trainer.loggers:
            logger.log_metrics(told, step=trainer.global_step)
            board = getattr(logger, "experiment", None)
            write = getattr(board, "add_text", None)
            if write is not None:
                write(f"{under}/decisions", account(decision), trainer.global_step)
    if new or (again and agent.decisions):
        shown = figures(agent, agent.decisions[-1], under)
        for each in ("decision", "applied", "rolled_back"):
            figure = f"{under}/{each}"
            trainer.lightning_module.log(
                figure, shown[figure], prog_bar=True, logger=False
            )
