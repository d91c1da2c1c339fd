"""Trains what a program builds: our loop, on one thread of the CPU."""

import inspect
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from dux_sandbox.programs.hparams import LOSSES, Hparams

_AT_ONCE = 4096  # rows of one forward pass without gradients
_WARM_UP = 0.3  # of the steps, with the schedule "onecycle"


def trained(
    build: Callable[..., nn.Module],
    make_optimizer: Callable[[nn.Module], torch.optim.Optimizer],
    hparams: Hparams,
    x: torch.Tensor,
    y: torch.Tensor,
    outputs: int,
) -> nn.Module:
    """The module that `build` makes, trained on all rows for all epochs.

    Args:
        x: (rows, features), float32.
        y: (rows,), float32, or int64 where they are classes.
        outputs: how many numbers the module gives for a row: 1, or one for each class.

    Raises:
        ValueError: the module's answer has another shape, or the loss is not finite.
    """
    takes_outputs = len(inspect.signature(build).parameters) > 1
    model = build(x.shape[1], outputs) if takes_outputs else build(x.shape[1])
    optimizer = make_optimizer(model)
    loss_of = _loss(hparams.loss, y)
    steps = hparams.epochs * math.ceil(len(x) / hparams.batch_size)
    rates = [group.get("lr") for group in optimizer.param_groups]
    step = 0
    for epoch in range(hparams.epochs):
        model.train()
        for rows in torch.randperm(len(x)).split(hparams.batch_size):
            if len(rows) == 1 < len(x):
                continue  # batch norm cannot train on one row
            factor = _factor(hparams.schedule, step, steps)
            for group, rate in zip(optimizer.param_groups, rates, strict=False):
                if rate is not None:
                    group["lr"] = rate * factor

            def closure(rows: torch.Tensor = rows) -> torch.Tensor:
                optimizer.zero_grad()
                loss = loss_of(shaped(model(x[rows]), len(rows), outputs), y[rows])
                loss.backward()
                if hparams.clip is not None:
                    nn.utils.clip_grad_norm_(model.parameters(), hparams.clip)
                return loss

            loss = _stepped(optimizer, closure)
            if not math.isfinite(loss):
                raise ValueError(
                    f"the loss is {loss} in epoch {epoch + 1}, step {step + 1}"
                )
            step += 1
    return model


def answers(model: nn.Module, x: torch.Tensor, outputs: int) -> torch.Tensor:
    """What a trained module says of rows: (rows,) numbers, or (rows, classes)."""
    model.eval()
    with torch.no_grad():
        said = [shaped(model(e), len(e), outputs) for e in x.split(_AT_ONCE)]
    return torch.cat(said)


def shaped(said: Any, rows: int, outputs: int) -> torch.Tensor:
    """A module's answer as (rows,), or as (rows, outputs) where these are several.

    Raises:
        ValueError: it is of another shape, or no tensor.
    """
    shape = tuple(said.shape) if isinstance(said, torch.Tensor) else type(said).__name__
    if isinstance(said, torch.Tensor):
        if outputs == 1 and shape in ((rows,), (rows, 1)):
            return said.reshape(rows)
        if outputs > 1 and shape == (rows, outputs):
            return said
    wanted = f"({rows},) or ({rows}, 1)" if outputs == 1 else f"({rows}, {outputs})"
    raise ValueError(f"the module gave {shape} for {rows} rows; {wanted} was wanted")


def _stepped(optimizer: Any, closure: Callable[[], torch.Tensor]) -> float:
    """One step, with a closure where the optimizer needs one."""
    takes = inspect.signature(optimizer.step).parameters.get("closure")
    needs = takes is not None and takes.default is inspect.Parameter.empty
    # torch's own decorator of `step` takes any arguments.
    if needs or isinstance(optimizer, torch.optim.LBFGS):
        return float(torch.as_tensor(optimizer.step(closure)).detach())
    loss = closure()
    optimizer.step()
    return float(loss.detach())


def _loss(name: str | None, y: torch.Tensor) -> Callable[..., torch.Tensor]:
    losses: dict[str, Callable[..., torch.Tensor]] = {
        "cross_entropy": nn.functional.cross_entropy,
        "mae": nn.functional.l1_loss,
        "huber": nn.functional.huber_loss,
        "mse": nn.functional.mse_loss,
    }
    return losses[name or LOSSES[not y.is_floating_point()][0]]


def _factor(schedule: str | None, step: int, steps: int) -> float:
    """What the learning rate is times before a step, from 0."""
    done = step / steps
    if schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * done))
    if schedule == "linear":
        return 1 - done
    if schedule == "onecycle":
        if done < _WARM_UP:
            return (step + 1) / max(1.0, _WARM_UP * steps)
        return 0.5 * (1 + math.cos(math.pi * (done - _WARM_UP) / (1 - _WARM_UP)))
    return 1.0
