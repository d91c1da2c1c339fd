"""Training a copy for a few steps: one start, the same batches and random numbers.

Forward and backward run here; where the rule runs is its own affair.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from dux_sandbox.closures import Closure, HandedClosure, LoopClosure
from dux_sandbox.findings import Finding, RuleFailed, SourceRejected
from dux_sandbox.limits import Limits
from dux_sandbox.process.isolated import IsolatedRule
from dux_sandbox.random_state import same_random_numbers
from dux_sandbox.running import ParamGroups, RunningRule, without_params
from dux_sandbox.trying.incumbent import Clone, Frozen, TwinOf, continue_on_copy
from dux_sandbox.trying.scratch import clone_model

Objective = Callable[[nn.Module, Any], torch.Tensor]

# A rule that takes ten times as long as the passes is no bargain; one that takes less
# is not refused only because the machine is busy or the model large.
_TIMES_PASSES = 10.0


class TwinTraining:
    """What both runs share: the same start, batches and random numbers."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer | Frozen,
        objective: Objective,
        batches: Sequence[Any],
        steps: int,
        closure: bool,
        clone: Clone | None,
        seed: int,
    ) -> None:
        self.model = model
        self.optimizer = optimizer
        self.objective = objective
        self.batches = batches
        self.steps = steps
        self.closure = closure
        self.clone = clone
        self.seed = seed

    def copies(self) -> tuple[nn.Module, ParamGroups, TwinOf]:
        """A copy of the model, and groups without options over its parameters."""
        twin, twin_of = clone_model(self.model, self.clone)
        groups = [
            {"params": [twin_of[id(parameter)] for parameter in group["params"]]}
            for group in self.optimizer.param_groups
        ]
        return twin, groups, twin_of

    def incumbent(self, running: RunningRule, limits: Limits) -> list[float]:
        """The losses of the live rule, continued on a copy."""
        twin, groups, twin_of = self.copies()
        for group, live in zip(groups, self.optimizer.param_groups, strict=True):
            group.update(without_params(live))
        losses: list[float] = []
        try:
            rule = continue_on_copy(running, groups, twin_of, limits)
        except (RuleFailed, SourceRejected):
            return losses  # as below: its state could not be fetched
        try:
            self.run(twin, rule, losses, limits.seconds)
        except RuleFailed:
            pass  # a failing incumbent is the guard's business; it lost its figures
        finally:
            rule.close()
        return losses

    def run(
        self,
        twin: nn.Module,
        rule: RunningRule,
        losses: list[float],
        seconds: float,
    ) -> None:
        """Train the copy; `losses` grows, so that it holds what was reached.

        Gradients are computed where the training loop computes them: before the step,
        or in the closure that is passed to it.
        """
        passes = _Passes(self, twin, rule, losses)
        with same_random_numbers(self.seed):
            for step in range(self.steps + 1):
                passes.begin(step)
                last = step == self.steps
                call: HandedClosure | None = None
                if self.closure and not last:
                    call = passes.handed()
                else:
                    loss = passes.forward()
                    if last or not math.isfinite(losses[-1]):
                        return
                    passes.backward(loss)
                closure = None if call is None else call.before_step()
                if isinstance(rule, IsolatedRule):
                    self._step_in_time(rule, closure, step, seconds, passes.seconds)
                else:
                    rule.step(closure)
                if call is not None:
                    call.after_step(None)
                    if not math.isfinite(losses[-1]):
                        return

    def _step_in_time(
        self,
        rule: IsolatedRule,
        closure: Closure | None,
        step: int,
        seconds: float,
        passes: float,
    ) -> None:
        """One step; `passes` is what forward and backward take here, seconds."""
        spent = rule.seconds
        one, left = patience(seconds, passes, steps=self.steps, spent=spent)
        rule.step_seconds = max(0.01, min(one, left))
        try:
            rule.step(closure)
        except RuleFailed as failed:
            if failed.finding.rule != "time":
                raise
            message = f"one step used more than {one:.2f} s"
            if left < one:
                most = left + spent
                first = "step" if step == 0 else f"{step + 1} steps"
                message = f"its first {first} used more than {most:.2f} s"
            raise RuleFailed(replace(failed.finding, message=message)) from None


class _Passes:
    """Forward and backward passes on the copy: before a step, or as its closure."""

    def __init__(
        self,
        training: TwinTraining,
        twin: nn.Module,
        rule: RunningRule,
        losses: list[float],
    ) -> None:
        self._training = training
        self._twin = twin
        self._rule = rule
        self._losses = losses
        self._step = 0
        self._in_step = 0
        self._count = 0
        self._spent = 0.0

    @property
    def seconds(self) -> float:
        """What one forward and backward pass take here."""
        return self._spent / max(1, self._count)

    def begin(self, step: int) -> None:
        """The passes of another step, on its batch."""
        self._step, self._in_step = step, 0

    def handed(self) -> HandedClosure:
        """These passes as the closure of a training loop, for one step."""
        loop = LoopClosure(self)
        return HandedClosure(self._rule, loop, list(self._twin.parameters()))

    def __call__(self) -> torch.Tensor:
        loss = self.forward()
        self.backward(loss)
        return loss

    def forward(self) -> torch.Tensor:
        """The loss; the first of a step is noted down."""
        began = time.perf_counter()
        batches = self._training.batches
        self._rule.zero_grad()
        try:
            loss = self._training.objective(
                self._twin, batches[self._step % len(batches)]
            )
        except (ValueError, ArithmeticError, RuntimeError, IndexError) as error:
            if self._step == 0 and not self._in_step:
                raise  # before any step of a rule: the caller's own error
            raise RuleFailed(
                Finding(
                    "objective",
                    None,
                    f"after {self._step} steps the objective raised "
                    f"{type(error).__name__}",
                    "smaller steps that keep the model's outputs in range",
                )
            ) from error
        require_scalar(loss)
        if not self._in_step:
            self._losses.append(float(loss.detach()))
        self._in_step += 1
        self._spent += time.perf_counter() - began
        return loss

    def backward(self, loss: torch.Tensor) -> None:
        """The gradients of a loss that `forward` gave."""
        began = time.perf_counter()
        loss.backward()
        if self._step == 0 and self._in_step == 1:
            _check_gradients(self._twin)
        self._count += 1
        self._spent += time.perf_counter() - began


def _check_gradients(twin: nn.Module) -> None:
    if all(parameter.grad is None for parameter in twin.parameters()):
        raise ValueError(
            "the objective gave no gradient to the model it was handed; it must "
            "compute the loss from its argument `model`, not from another one."
        )


def patience(
    seconds: float, passes: float, *, steps: int, spent: float
) -> tuple[float, float]:
    """Time for one step of a rule, and what is left for all its steps, seconds.

    Args:
        seconds: `Limits.seconds`.
        passes: what one forward and backward pass take here.
        steps: of the dry run.
        spent: what the rule has used so far.
    """
    one = max(seconds, _TIMES_PASSES * passes)
    most = max(seconds, _TIMES_PASSES * passes * steps)
    return one, max(0.0, most - spent)


def require_scalar(loss: Any) -> None:
    """Raise ValueError unless an objective's value is a scalar tensor."""
    if not isinstance(loss, torch.Tensor):
        raise ValueError(
            f"the objective returned a {type(loss).__name__}; it must return a scalar "
            f"tensor; return the loss before .item()."
        )
    if loss.numel() != 1:
        raise ValueError(
            f"the objective returned a tensor of shape {tuple(loss.shape)}; it must be "
            f"a scalar; reduce it, for instance by .mean()."
        )
