"""Keeps the weights with the best validation loss, in the CPU's memory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from dux_agent.errors import BadArgument


@dataclass(frozen=True)
class Best:
    """The best validation of a run so far.

    Attributes:
        step: optimizer steps that were taken before it.
        loss: what `validate` returned.
    """

    step: int
    loss: float


class BestWeights:
    """Parameters and buffers of one model, as they were at its best.

    Attributes:
        best: when that was; None before the first finite validation loss.
    """

    def __init__(self, model: nn.Module) -> None:
        self.best: Best | None = None
        self._model = model
        self._weights: dict[str, torch.Tensor] = {}

    def offer(self, step: int, loss: float) -> None:
        """Copy the weights of now, if this loss is finite and below all before."""
        if not math.isfinite(loss):
            return
        if self.best is not None and not loss < self.best.loss:
            return
        self._weights = {
            name: tensor.detach().to("cpu", copy=True) for name, tensor in self._now()
        }
        self.best = Best(step, loss)

    def restore(self) -> Best:
        """Put them back, in place: every parameter and buffer keeps its identity.

        Raises:
            BadArgument: there are none, or the model has other weights by now;
                nothing was changed.
        """
        if self.best is None:
            raise BadArgument(
                "no validation loss was finite so far; at least one was wanted; go on "
                "training, or look at what validate returns."
            )
        now = dict(self._now())
        if {name: tensor.shape for name, tensor in now.items()} != {
            name: tensor.shape for name, tensor in self._weights.items()
        }:
            raise BadArgument(
                f"the model has other weights than at step {self.best.step}; the same "
                f"names and shapes were wanted; restore before it is changed."
            )
        with torch.no_grad():
            for name, tensor in now.items():
                tensor.copy_(self._weights[name])
        return self.best

    def state_dict(self) -> dict[str, Any]:
        """Plain data and tensors; empty before the first validation."""
        if self.best is None:
            return {}
        return {**asdict(self.best), "weights": dict(self._weights)}

    def prepared(self, state: Mapping[str, Any]) -> BestWeights:
        """One with what `state_dict` gave.

        Raises:
            LookupError, TypeError, ValueError: it was not given by it.
        """
        made = BestWeights(self._model)
        if not state:
            return made
        weights = dict(state["weights"])
        for name, tensor in weights.items():
            if not isinstance(name, str) or not isinstance(tensor, torch.Tensor):
                raise TypeError(f"the best weights hold {str(name)[:40]!r}")
        made.best = Best(int(state["step"]), float(state["loss"]))
        if not math.isfinite(made.best.loss):
            raise ValueError(f"the best loss is {made.best.loss}")
        made._weights = {
            name: tensor.detach().clone() for name, tensor in weights.items()
        }
        return made

    def _now(self) -> Iterator[tuple[str, torch.Tensor]]:
        yield from self._model.named_parameters()
        yield from self._model.named_buffers()
