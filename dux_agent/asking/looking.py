"""Runs the caller's own functions on the live model and leaves it as it was."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from dux_agent.arguments import loss_value
from dux_agent.errors import BadArgument
from dux_agent.live.snapshot import Buffers
from dux_agent.settings import Objective, Validate
from dux_sandbox.random_state import random_numbers_kept


@contextmanager
def as_it_was(model: nn.Module) -> Iterator[None]:
    """Put modes, buffers and random numbers back afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    buffers = Buffers(model)
    with random_numbers_kept():
        try:
            yield
        finally:
            for module, training in modes:
                module.training = training
            buffers.restore()


def require_scalar_objective(
    objective: Objective, model: nn.Module, batch: Any
) -> None:
    """Run the objective once and raise BadArgument unless it returns a scalar.

    Before any language model is paid for a decision that cannot be tried. Whatever
    the objective raises comes out as it is.
    """
    with as_it_was(model), torch.no_grad():
        loss = objective(model, batch)
    if not isinstance(loss, torch.Tensor):
        raise BadArgument(
            f"the objective returned a {type(loss).__name__}; a scalar tensor was "
            f"wanted; return the loss before .item()."
        )
    loss_value(loss)


def validation_loss(validate: Validate, model: nn.Module) -> float:
    """The validation loss in eval mode, without gradients.

    Raises:
        BadArgument: `validate` returned no number. What it raises comes out as it is.
    """
    with as_it_was(model), torch.no_grad():
        model.eval()
        return loss_value(validate(model))


_MOST_BYTES = 64 << 20


def kept_batches(batches: Iterable[Any]) -> list[Any]:
    """Copies of batches for a checkpoint; none at all when they do not fit in one."""
    held = list(batches)
    sizes = [_plain_bytes(batch, 0) for batch in held]
    if any(size is None for size in sizes):
        return []
    if sum(size or 0 for size in sizes) > _MOST_BYTES:
        return []
    return copy.deepcopy(held)


def _plain_bytes(value: Any, depth: int) -> int | None:
    """Bytes of tensors in plain containers; None for anything else."""
    if depth > 8:
        return None
    if type(value) is torch.Tensor:
        return None if value.requires_grad else value.numel() * value.element_size()
    if value is None or type(value) in (bool, int, float, str):
        return 0
    if type(value) is dict:
        value = [*value.keys(), *value.values()]
    if type(value) not in (list, tuple):
        return None
    sizes = [_plain_bytes(item, depth + 1) for item in value]
    if any(size is None for size in sizes):
        return None
    return sum(size or 0 for size in sizes)
