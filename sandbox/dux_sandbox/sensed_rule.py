"""A running rule that is told its sensors before each step, wherever its code runs.

The values stand in groups that are the rule's alone: the loop's groups never hold them,
nor do checkpoints. To the rule they are options that somebody sets, as a schedule sets
`lr`; so a recorded rule has them as numbers that go into its program.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

from dux_sandbox.closures import Closure
from dux_sandbox.findings import Finding, RuleFailed, printable
from dux_sandbox.running_rule import (
    ParamGroups,
    RuleState,
    RunningRule,
    parameters_of,
)
from dux_sandbox.runtime.kept import KEEP
from dux_sandbox.sensing import Sensing
from dux_sandbox.static_check import sensors_of

Clock = Callable[[], tuple[int, int | None]]
"""Steps of the run that are over, and of the whole run, if that is known."""

SENSED = "__sensors__"
"""Under this name a rule's attributes hold what its sensors have learned."""


def sensed(rule: RunningRule, groups: ParamGroups) -> RunningRule:
    """The rule itself, or one that is told the sensors that it declares.

    Args:
        groups: over whose parameters it was built.
    """
    names = () if rule.source is None else sensors_of(rule.source)
    if not names or isinstance(rule, SensedRule):
        return rule
    return cast(RunningRule, SensedRule(rule, names, groups))


class SensedRule:
    """See `RunningRule`; what is not about sensors is the inner rule's.

    Attributes:
        inner: the rule that is told.
        sensing: what it is told.
        clock: how far the run is; None: `sensing` counts its own steps.
    """

    def __init__(
        self, inner: RunningRule, names: Sequence[str], groups: ParamGroups
    ) -> None:
        """One that has not stepped yet."""
        self.inner = inner
        self.sensing = Sensing(names, parameters_of(groups))
        self.clock: Clock | None = None
        self._live: ParamGroups = []
        self._own: ParamGroups = []

    def __getattr__(self, name: str) -> Any:
        if name == "inner":  # of a copy that is being made
            raise AttributeError(name)
        return getattr(self.inner, name)

    @property
    def closure_use(self) -> Any:
        """What the inner rule was seen to do with a closure."""
        return self.inner.closure_use

    @closure_use.setter
    def closure_use(self, value: Any) -> None:
        self.inner.closure_use = value

    @property
    def agree(self) -> Any:
        """How ranks agree on a recorded step; the inner rule is the one that asks."""
        return getattr(self.inner, "agree", None)

    @agree.setter
    def agree(self, value: Any) -> None:
        vars(self.inner)["agree"] = value

    @property
    def options(self) -> list[dict[str, Any]]:
        """Of each group, without the sensors."""
        return [self._without(each) for each in self.inner.options]

    @property
    def owned(self) -> list[set[str]]:
        """Per group, the names of the rule's own options, without the sensors."""
        return [set(names) - {*self.sensing.names} for names in self.inner.owned]

    def bind(
        self, param_groups: ParamGroups, owned: Sequence[set[str]] | None = None
    ) -> None:
        """Share these groups with the rule; see `RunningRule.bind`."""
        names = {*self.sensing.names}
        self._live = param_groups
        self._own = [{**group, **self.sensing.values()} for group in param_groups]
        self.inner.bind(
            self._own, None if owned is None else [{*each, *names} for each in owned]
        )

    def step(
        self, closure: Closure | None = None, *, seconds: float | None = None
    ) -> Any:
        """Take one step; see `RunningRule.step`."""
        sensing = self.sensing
        if self.clock is not None:
            sensing.done, sensing.total = self.clock()
        told = sensing.values()
        for own, group in zip(self._own, self._live, strict=False):
            own.clear()
            own.update(group)
            own.update(told)
        before = [dict(own) for own in self._own]
        sensing.step_begins()
        if closure is None:
            sensing.gradients_ready()
        else:
            closure = sensing.around(closure)
        try:
            result = self.inner.step(closure, seconds=seconds)
        finally:
            self._hand_over(before)
        sensing.step_ends()
        return result

    def _hand_over(self, before: ParamGroups) -> None:
        """Give the loop's groups what the rule has written to its options."""
        sensors = {*self.sensing.names}
        for own, group, was in zip(self._own, self._live, before, strict=False):
            for name in own:
                if name in sensors:
                    continue
                if name not in was or own[name] is not was[name]:
                    group[name] = own[name]
            for name in was.keys() - own.keys() - sensors:
                group.pop(name, None)

    def hear(self, loss: float) -> None:
        """The loss of a step that is over."""
        self.sensing.hear(loss)

    def snapshot(self) -> RuleState:
        """What the rule has learned, and its sensors. Raises RuleFailed."""
        learned = self.inner.snapshot()
        attributes = {**learned.attributes, SENSED: self.sensing.state()}
        return replace(learned, attributes=attributes)

    def restore(self, state: RuleState) -> None:
        """Put copies of what `snapshot` gave in place of all. Raises RuleFailed."""
        attributes = dict(state.attributes)
        try:
            self.sensing.restore(attributes.pop(SENSED, {}))
        except ValueError as error:
            finding = Finding("state", None, printable(str(error)), KEEP)
            raise RuleFailed(finding) from None
        self.inner.restore(replace(state, attributes=attributes))

    def _without(self, options: dict[str, Any]) -> dict[str, Any]:
        return {n: v for n, v in options.items() if n not in self.sensing.names}
