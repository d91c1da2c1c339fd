"""Training a copy for a few steps: one start, the same batches and random numbers.

Forward and backward run here; where the rule runs is its own affair.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import nn

from dux_sandbox.closures import Closure, HandedClosure, LoopClosure
from dux_sandbox.dry_runs.aside import Aside
from dux_sandbox.dry_runs.bystanders import Bystanders
from dux_sandbox.dry_runs.incumbent import Clone, TwinOf, continue_on_copy
from dux_sandbox.dry_runs.lockstep import ByItself, Lockstep
from dux_sandbox.dry_runs.looking_ahead import Weights
from dux_sandbox.dry_runs.passes import Objective, Passes
from dux_sandbox.dry_runs.scratch import clone_model
from dux_sandbox.dry_runs.slices import ALIKE, UNLIKE, Slices, within
from dux_sandbox.faults import failure
from dux_sandbox.findings import RuleFailed, SourceRejected
from dux_sandbox.limits import Limits
from dux_sandbox.process.isolated import IsolatedRule
from dux_sandbox.running import ParamGroups, RunningRule, parameters_of, without_params
from dux_sandbox.sensed_rule import SensedRule

# A rule that takes ten times as long as the passes is no bargain; one that takes less
# is not refused only because the machine is busy or the model large.
_TIMES_PASSES = 10.0


@dataclass(eq=False)
class TwinTraining:
    """What both runs share: the same start, batches and random numbers.

    Attributes:
        incumbent_moved: how far the incumbent has moved the weights; 0: not known.
        progress, together: see `side_by_side.in_slices`.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    objective: Objective
    batches: Sequence[Any]
    steps: int
    closure: bool
    clone: Clone | None
    seed: int
    _: KW_ONLY
    accumulate: int = 1
    weight: float = 1.0
    bystanders: Bystanders
    resting: Collection[int] = ()
    sliced: bool = False
    incumbent_moved: float = 0.0
    progress: tuple[int, int | None] = (0, None)
    together: Lockstep = field(default_factory=ByItself)
    _kept: tuple[nn.Module, ParamGroups, TwinOf] | None = None

    @property
    def period(self) -> int:
        """Steps after which the batches come again."""
        count = len(self.batches)
        return count // math.gcd(count, self.accumulate)

    def copies(self) -> tuple[nn.Module, ParamGroups, TwinOf]:
        """A copy of the model, and groups without options over its parameters."""
        if self._kept is not None:
            return self._kept
        twin, twin_of = self.together.alike(
            lambda: clone_model(self.model, self.clone, shared=self.resting)
        )
        for parameter in parameters_of(self.optimizer.param_groups):
            if id(parameter) not in twin_of:  # the model holds it no longer
                twin_of[id(parameter)] = _stand_in(parameter)
        return twin, self._groups(twin_of), twin_of

    def _groups(self, twin_of: TwinOf) -> ParamGroups:
        return [
            {"params": [twin_of[id(parameter)] for parameter in group["params"]]}
            for group in self.optimizer.param_groups
        ]

    def _keep_a_copy(self, twin: nn.Module, twin_of: TwinOf) -> None:
        """The other run begins where this one does, wherever training is by then."""
        resting = {id(twin_of[each]) for each in self.resting if each in twin_of}
        other, other_of = clone_model(twin, self.clone, shared=resting)
        for known, one in twin_of.items():
            if id(one) not in other_of:
                other_of[id(one)] = _stand_in(one)
            other_of[known] = other_of[id(one)]
        self._kept = other, self._groups(other_of), other_of

    def incumbent(self, running: RunningRule, limits: Limits) -> Slices[list[float]]:
        """The losses of the live rule, continued on a copy."""
        twin, groups, twin_of = self.copies()
        for group, live in zip(groups, self.optimizer.param_groups, strict=True):
            group.update(without_params(live))
        losses: list[float] = []
        try:
            rule = self.together.alike(
                lambda: continue_on_copy(running, groups, twin_of, limits)
            )
        except (RuleFailed, SourceRejected):
            return losses  # as below: its state could not be fetched
        IsolatedRule.expect(groups, limits)  # the proposal's, while this one steps
        try:
            if self.sliced:
                yield UNLIKE
                self._keep_a_copy(twin, twin_of)
                yield UNLIKE
            weights = Weights(parameters_of(groups))
            begin = weights.now()
            yield from self.run(twin, rule, losses, limits.seconds)
            self.incumbent_moved = weights.moved_from(begin)
        except RuleFailed:
            pass  # a failing incumbent is the guard's business; it lost its figures
        finally:
            rule.close()
        return losses

    def run(
        self, twin: nn.Module, rule: RunningRule, losses: list[float], seconds: float
    ) -> Slices[None]:
        """Train the copy; `losses` grows, so that it holds what was reached.

        Gradients are computed where the training loop computes them: before the step,
        or in the closure that is passed to it.
        """
        aside = Aside(self.seed, self.bystanders, self.resting, again=self.sliced)
        return within(lambda: aside, self._steps(twin, rule, losses, seconds))

    def _steps(
        self, twin: nn.Module, rule: RunningRule, losses: list[float], seconds: float
    ) -> Slices[None]:
        passes = Passes(self, twin, rule, losses)
        told = rule if isinstance(rule, SensedRule) else None
        if told is not None:
            told.sensing.done, told.sensing.total = self.progress
        for step in range(self.steps + 1):
            passes.begin(step)
            last = step == self.steps
            call: HandedClosure | None = None
            if self.closure and not last:
                call = HandedClosure(rule, LoopClosure(passes), list(twin.parameters()))
            else:
                passes(backward=not last)
                if last or not math.isfinite(losses[-1]):
                    return
            closure = None if call is None else call.before_step()
            self.together.alike(
                partial(self._step, rule, closure, step, seconds, passes.seconds)
            )
            if call is not None:
                call.after_step(None)
                if not math.isfinite(losses[-1]):
                    return
            if told is not None:
                told.hear(losses[-1])
            if self.sliced:
                yield ALIKE

    def _step(
        self, rule: RunningRule, closure: Closure | None, step: int, *times: float
    ) -> None:
        if rule.source is None:
            _trusted_step(rule, closure)
        else:
            self._step_in_time(rule, closure, step, *times)

    def _step_in_time(
        self,
        rule: RunningRule,
        closure: Closure | None,
        step: int,
        seconds: float,
        passes: float,
    ) -> None:
        """One step; `passes` is what forward and backward take here, seconds."""
        spent = rule.cost.total
        one, left = patience(seconds, passes, steps=self.steps, spent=spent)
        try:
            rule.step(closure, seconds=max(0.01, min(one, left)))
        except RuleFailed as failed:
            if failed.finding.rule != "time":
                raise
            message = f"one step used more than {one:.2f} s"
            if left < one:
                most = left + spent
                first = "step" if step == 0 else f"{step + 1} steps"
                message = f"its first {first} used more than {most:.2f} s"
            raise RuleFailed(replace(failed.finding, message=message)) from None


def _trusted_step(rule: RunningRule, closure: Closure | None) -> None:
    """One step of a trusted incumbent; its own fault costs its figures.

    It may refuse to step where it stands, as a schedule-free one does in its
    evaluation mode.
    """
    raised: list[BaseException] = []

    def call() -> Any:
        try:
            return closure() if closure is not None else None
        except BaseException as error:
            raised.append(error)
            raise

    try:
        rule.step(None if closure is None else call)
    except Exception as error:
        if error in raised:
            raise  # of the caller's objective
        raise failure(error) from None


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


def _stand_in(parameter: torch.Tensor) -> torch.Tensor:
    """A copy of what is stepped although no forward pass of the model uses it."""
    return nn.Parameter(parameter.detach().clone(), parameter.requires_grad)
