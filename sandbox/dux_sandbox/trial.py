"""The dry run: a proposal and the incumbent on copies of the model, side by side.

Forward and backward run here, on a copy; only the rule's own step runs in a jailed
child, on the copy's shared memory. So no user code or data is pickled, and a rule
that hangs, crashes or eats memory harms nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from dux_sandbox.acceptance import ACCEPT, judge
from dux_sandbox.findings import DryRunReport, Finding, RuleFailed, SourceRejected
from dux_sandbox.incumbent import Clone, Frozen, TwinOf, continue_on_copy, running_of
from dux_sandbox.isolated import IsolatedRule
from dux_sandbox.limits import Limits
from dux_sandbox.running import (
    ParamGroups,
    RunningRule,
    parameters_of,
    without_params,
)
from dux_sandbox.scratch import clone_model, gradients_aside, same_random_numbers
from dux_sandbox.slab import Slab

Objective = Callable[[nn.Module, Any], torch.Tensor]


def dry_run(
    source: str,
    model: nn.Module,
    optimizer: torch.optim.Optimizer | Frozen,
    objective: Objective,
    batches: Sequence[Any],
    steps: int = 10,
    limits: Limits | None = None,
    *,
    accept: str = "harmless",
    incumbent_losses: Sequence[float] | None = None,
    closure: bool = False,
    clone: Clone | None = None,
    seed: int = 0,
) -> DryRunReport:
    """Try a source for a few steps on a copy of the model; the model is untouched.

    Parameters, buffers, gradients, optimizer state, random numbers and modes of the
    live model are bit-identical afterwards.

    Args:
        source: the text of the proposal.
        model: the live model.
        optimizer: the live optimizer (the incumbent) over the model's parameters, or
            what `freeze` made of it.
        objective: `(model, batch) -> loss`, a scalar tensor that depends on the
            model it is handed.
        batches: at least one; used in turn.
        steps: steps to take.
        limits: bounds on the rule's time and memory.
        accept: "finite", "harmless" or "not_worse".
        incumbent_losses: the incumbent's losses from an earlier dry run of the same
            state, batches and seed; spares running it again.
        closure: the training loop passes a closure to `step`.
        clone: makes the copy of the model instead of `copy.deepcopy`.
        seed: seeds the random numbers of both runs.

    Returns:
        What happened; `report.ok` when nothing speaks against the proposal.

    Raises:
        ValueError: no batches, an objective that returns no scalar or ignores the
            model it is handed, an unknown `accept`.
        CannotClone: the model cannot be copied.
    """
    limits = limits or Limits()
    if accept not in ACCEPT:
        raise ValueError(
            f"accept is {accept!r}; it must be one of {', '.join(ACCEPT)}."
        )
    if not batches:
        raise ValueError("a dry run needs at least one batch; batches is empty.")
    running = running_of(optimizer)
    live = parameters_of(optimizer.param_groups)
    trial = _Trial(model, optimizer, objective, batches, steps, closure, clone, seed)
    with gradients_aside(live), torch.enable_grad():
        if incumbent_losses is None:
            incumbent_losses = trial.incumbent(running, limits)
        return _try_proposal(source, trial, limits, accept, list(incumbent_losses))


def _try_proposal(
    source: str,
    trial: _Trial,
    limits: Limits,
    accept: str,
    incumbent_losses: list[float],
) -> DryRunReport:
    twin, groups, _ = trial.copies()
    losses: list[float] = []
    findings: list[Finding] = []
    rule: IsolatedRule | None = None
    began = peak = 0
    try:
        slab = Slab(parameters_of(groups), mirror=True)
        rule = IsolatedRule.build(
            source, groups, limits=limits, slab=slab, seed=trial.seed
        )
        if rule.requires_closure and not trial.closure:
            raise RuleFailed(
                Finding(
                    "closure",
                    None,
                    "the rule requires a closure; this training loop passes none",
                    "a rule that works from p.grad alone",
                )
            )
        _take_options(groups, rule.options)
        rule.bind(groups)
        began = rule.resident_bytes
        trial.run(twin, rule, losses, limits.seconds)
        peak = max(0, rule.resident_bytes - began)
        rule.require_saveable()
        findings = _not_finite(parameters_of(groups))
    except SourceRejected as error:
        findings = list(error.report.findings)
    except RuleFailed as error:
        findings = [error.finding]
    finally:
        if rule is not None:
            rule.close()
    findings = judge(losses, incumbent_losses, accept) or findings
    return DryRunReport(
        not findings,
        tuple(losses),
        tuple(incumbent_losses),
        rule.seconds if rule is not None else 0.0,
        peak,
        tuple(findings),
        max(rule.longest_step, rule.first_step) if rule is not None else 0.0,
    )


def _not_finite(parameters: list[torch.Tensor]) -> list[Finding]:
    for index, parameter in enumerate(parameters):
        if not bool(torch.isfinite(parameter.detach()).all()):
            return [
                Finding(
                    "nonfinite",
                    None,
                    f"parameter {index} of shape {tuple(parameter.shape)} holds NaN or "
                    f"infinity after the dry run",
                    "a smaller rate, an epsilon in every division, or clipping",
                )
            ]
    return []


def _take_options(groups: ParamGroups, options: list[dict[str, Any]]) -> None:
    for group, values in zip(groups, options, strict=True):
        group.update(values)


class _Trial:
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
        """Train the copy; `losses` grows, so that it holds what was reached."""
        with same_random_numbers(self.seed):
            for step in range(self.steps + 1):
                batch = self.batches[step % len(self.batches)]
                rule.zero_grad()
                loss = self._loss(twin, batch, step)
                losses.append(float(loss.detach()))
                if step == self.steps or not math.isfinite(losses[-1]):
                    return
                loss.backward()
                if step == 0:
                    self._check_gradients(twin)
                if isinstance(rule, IsolatedRule):
                    left = seconds - rule.seconds
                    rule.step_seconds = max(0.01, left)
                rule.step(self._closure(twin, batch, rule) if self.closure else None)

    def _closure(
        self, twin: nn.Module, batch: Any, rule: RunningRule
    ) -> Callable[[], torch.Tensor]:
        def closure() -> torch.Tensor:
            rule.zero_grad()
            loss = self.objective(twin, batch)
            loss.backward()
            return loss

        return closure

    def _loss(self, twin: nn.Module, batch: Any, step: int) -> torch.Tensor:
        try:
            loss = self.objective(twin, batch)
        except (ValueError, ArithmeticError, RuntimeError, IndexError) as error:
            if step == 0:
                raise  # before any step of a rule: the caller's own error
            raise RuleFailed(
                Finding(
                    "objective",
                    None,
                    f"after {step} steps the objective raised {type(error).__name__}",
                    "smaller steps that keep the model's outputs in range",
                )
            ) from error
        require_scalar(loss)
        return loss

    def _check_gradients(self, twin: nn.Module) -> None:
        if all(parameter.grad is None for parameter in twin.parameters()):
            raise ValueError(
                "the objective gave no gradient to the model it was handed; it must "
                "compute the loss from its argument `model`, not from another one."
            )


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
