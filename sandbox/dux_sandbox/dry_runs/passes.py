"""Forward and backward passes on the copy of a dry run, as the training loop does them.

Before a step or as its closure; over one batch, or over several whose gradients add up.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import torch
from torch import nn

from dux_sandbox.dry_runs.batch_copies import copy_of_batch
from dux_sandbox.dry_runs.lockstep import Lockstep
from dux_sandbox.dry_runs.scratch import out_of_memory
from dux_sandbox.findings import Finding, RuleFailed
from dux_sandbox.random_state import seed_all
from dux_sandbox.scalar_loss import scalar_loss

Objective = Callable[[nn.Module, Any], torch.Tensor]


class Given(Protocol):
    """What is the same for both runs; see `TwinTraining`."""

    batches: Sequence[Any]
    accumulate: int
    weight: float
    seed: int
    together: Lockstep

    @property
    def objective(self) -> Objective:
        """What is trained."""


class ZeroesGradients(Protocol):
    """The rule that is tried."""

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients."""


@dataclass(eq=False)
class Passes:
    """The passes of one run on a copy.

    Attributes:
        losses: the first loss of every step; the caller's list, which grows.
    """

    given: Given
    twin: nn.Module
    rule: ZeroesGradients
    losses: list[float]
    _step: int = 0
    _in_step: int = 0
    _count: int = 0
    _spent: float = 0.0

    @property
    def seconds(self) -> float:
        """What the passes of one step take here."""
        return self._spent / max(1, self._count)

    def begin(self, step: int) -> None:
        """The passes of another step, on its batches."""
        self._step, self._in_step = step, 0

    def __call__(self, *, backward: bool = True) -> torch.Tensor:
        """The mean loss of the step's batches; leaves their gradients, if finite.

        Raises:
            RuleFailed: the objective failed after a step of the rule.
            ValueError: the objective gives no scalar, or no gradient.
            Whatever the objective raises before any step.
        """
        began = time.perf_counter()
        given = self.given
        if backward:  # else those of the last step stay, for `look_ahead`
            self.rule.zero_grad()
        values: list[torch.Tensor] = []
        for turn in range(given.accumulate):
            place = self._step * given.accumulate + turn
            values.append(given.together.alike(partial(self._loss, place)))
            if backward and math.isfinite(given.together.mean(values[-1].item())):
                given.together.alike(partial(self._backward, values[-1]))
                values[-1] = values[-1].detach()
        loss = values[0] if len(values) == 1 else torch.stack(values).detach().mean()
        if not self._in_step:
            self.losses.append(given.together.mean(float(loss.detach())))
        self._in_step += 1
        self._count += 1
        self._spent += time.perf_counter() - began
        return loss

    def _loss(self, place: int) -> torch.Tensor:
        batches = self.given.batches
        which = place % len(batches)
        if not self._in_step:  # dropout draws the same mask where a batch comes again
            seed_all(self.given.seed + which)
        try:
            batch = copy_of_batch(batches[which])
            loss = self.given.objective(self.twin, batch)
        except (ValueError, ArithmeticError, RuntimeError, IndexError) as error:
            if (self._step == 0 and not self._in_step) or out_of_memory(error):
                raise  # before any step of a rule: the caller's own error
            raised = f"the objective raised {type(error).__name__}"
            said = f"after {self._step} steps {raised}"
            instead = "smaller steps that keep the model's outputs in range"
            raise RuleFailed(Finding("objective", None, said, instead)) from error
        scalar_loss(loss, tensor=True)
        return loss

    def _backward(self, loss: torch.Tensor) -> None:
        weight = self.given.weight
        (loss if weight == 1 else loss * weight).backward()
        if self._step == 0 and not self._in_step:
            self._check_gradients()

    def _check_gradients(self) -> None:
        if all(parameter.grad is None for parameter in self.twin.parameters()):
            raise ValueError(
                "the objective gave no gradient to the model it was handed; it must "
                "compute the loss from its argument `model`, not from another one."
            )
