"""Builds a running rule where the settings say that rules run."""

from dataclasses import replace
from typing import Any

import torch
from torch import nn

from dux_agent.live.optimizer import DuxOptimizer
from dux_agent.settings import Settings
from dux_sandbox.executions import EXECUTIONS, Recorded
from dux_sandbox.findings import CannotRunSo, DryRunReport, Finding, RuleFailed
from dux_sandbox.limits import Limits
from dux_sandbox.running_rule import ParamGroups, RunningRule
from dux_sandbox.sensed_rule import SensedRule, sensed
from dux_sandbox.sharded_rule import over_parts

# A live step may take this many times the longest step of the dry run, and three
# seconds in any case: a busy machine is no fault of a rule's.
_TIMES_LONGER = 30.0
_LEAST_SECONDS = 3.0
_TIMES_SLOWER = 5.0


class Builder:
    """Makes rules for one agent, of the kind of execution that it was given.

    Attributes:
        limits: for the next rule; narrowed by `expect` from its dry run.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.limits = settings.limits
        self._groups: ParamGroups = []
        self._live: DuxOptimizer | None = None

    def live_optimizer(
        self, base: torch.optim.Optimizer, model: nn.Module, schedulers: Any
    ) -> DuxOptimizer:
        """A live optimizer over `base` that has its rules built here."""
        self._groups = base.param_groups
        self._live = live = DuxOptimizer(
            base,
            model=model,
            build=self.build,
            guard_steps=self._settings.guard_steps,
            schedulers=schedulers,
            snapshots=self._settings.snapshots,
        )
        return live

    def _clock(self) -> tuple[int, int | None]:
        steps = 0 if self._live is None else self._live.steps
        return steps, self._settings.total_steps

    def expect(self, report: DryRunReport | None) -> None:
        """Set the time that a step of the next rule may take, from its dry run."""
        self.limits = _limits_after(report, self._settings.limits)

    def prepare(self, source: str, report: DryRunReport | None) -> None:
        """Do beside the training what takes long of `build`; it says what it finds."""
        execution = EXECUTIONS[self._settings.execution]
        if isinstance(execution, Recorded):
            limits = _limits_after(report, self._settings.limits)
            seed = self._settings.seed
            execution.prepare(source, self._groups, limits=limits, seed=seed)

    def build(self, source: str, groups: ParamGroups) -> RunningRule:
        """A rule over these parameters; see `dux_agent.live.rule_slot.RuleBuilder`."""
        execution, seed = EXECUTIONS[self._settings.execution], self._settings.seed
        try:
            built = over_parts(
                lambda here: execution.build(
                    source, here, limits=self.limits, seed=seed
                ),
                groups,
            )
        except CannotRunSo as error:
            raise RuleFailed(Finding("isolation", None, str(error))) from None
        rule = sensed(built, groups)
        if isinstance(rule, SensedRule):
            rule.clock = self._clock
        return rule


def _limits_after(report: DryRunReport | None, most: Limits) -> Limits:
    seconds = most.step_seconds
    if report is not None and report.step_seconds > 0:
        longest = report.step_seconds
        wanted = max(_LEAST_SECONDS, _TIMES_LONGER * longest)
        # A large model's honest steps may take longer than the limit by themselves.
        seconds = max(min(seconds, wanted), _TIMES_SLOWER * longest)
    return replace(most, step_seconds=seconds)
