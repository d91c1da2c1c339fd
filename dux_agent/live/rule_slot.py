"""Which rule is live, what comes back after it, and whose option is whose.

The record that guard, swap, saves and loads work on. Torch's face stands on top of it,
in `dux_agent.live.optimizer`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from dux_agent.live.group_options import Options, cycled_by, give_back, options_of
from dux_agent.live.hooks import has_step_hooks, plain_step, silenced
from dux_agent.live.rates import References
from dux_agent.live.schedule import Schedule
from dux_sandbox.closures import Closure, ClosureUse
from dux_sandbox.option_values import SCHEDULERS
from dux_sandbox.running import InlineRule, ParamGroups, RuleState, RunningRule
from dux_sandbox.sensed_rule import sensed

RuleBuilder = Callable[[str, ParamGroups], RunningRule]
"""The rule of a source over the parameters of these groups. Raises RuleFailed or
SourceRejected."""


@dataclass
class Predecessor:
    """A rule that is not live and would be again after a rollback.

    Attributes:
        rule: keeps its state itself while others are live.
        owned: per group, the names of the options that are its own.
        options: per group, their values when it was replaced.
        references: per group, what its rate is relative to; none for the base
            optimizer, whose rates are what the loop's schedule sets.
    """

    rule: RunningRule
    owned: list[set[str]]
    options: list[Options]
    references: References | None = None


def build_inline(source: str, groups: ParamGroups) -> RunningRule:
    """A rule that runs in this process."""
    return sensed(InlineRule.build(source, groups), groups)


class RuleSlot:
    """The place of the live rule, over the groups that it shares with the loop.

    Attributes:
        running: the live `RunningRule`; at first the base optimizer's.
        base: the torch optimizer that is live until a first swap, and whenever
            everything else has failed.
        base_rule: the same as a rule.
        base_options: per group, the values that it gets when it is live again.
        build: makes a running rule of a source.
        owned: per group, the names of the options that belong to the live rule.
        schedule: what the loop's schedule sets, and the live rates because of it.
        steps: steps taken since it was made or loaded.
    """

    def __init__(
        self, base: torch.optim.Optimizer, build: RuleBuilder, schedule: Schedule
    ) -> None:
        """Begin with the base optimizer live."""
        self.base = base
        self.base_rule: RunningRule = InlineRule(base)
        self.running: RunningRule = self.base_rule
        self.build = build
        self.schedule = schedule
        self.steps = 0
        self._groups: ParamGroups = base.param_groups
        self.owned: list[set[str]] = [
            set(base.defaults) & set(group) for group in base.param_groups
        ]
        self._mode: str | None = None
        self._plain_step = plain_step(base)
        self.base_options = self._options_of_base()

    @property
    def param_groups(self) -> ParamGroups:
        """The groups, with the options of the rule that is live and its rates.

        They are the list and the dicts of `base`.
        """
        self.schedule.look()
        return self._groups

    @property
    def base_predecessor(self) -> Predecessor:
        """The base optimizer as what would be live after everything else failed."""
        if self.running is self.base_rule:
            self.base_options = self._options_of_base()
        owned = [set(self.base.defaults) & set(each) for each in self.base_options]
        options = [
            {name: value for name, value in each.items() if name in names}
            for each, names in zip(self.base_options, owned, strict=True)
        ]
        return Predecessor(self.base_rule, owned, options)

    def _options_of_base(self) -> list[Options]:
        names = set(self.base.defaults)
        return [options_of(group, names) for group in self.param_groups]

    def as_predecessor(self) -> Predecessor:
        """The live rule as what would be live again after a rollback."""
        if self.running is self.base_rule:
            return self.base_predecessor
        references = self.schedule.references
        options = [
            options_of(group, names)
            for group, names in zip(self.param_groups, self.owned, strict=True)
        ]
        owned = [set(names) for names in self.owned]
        return Predecessor(self.running, owned, options, references)

    def built_again(
        self,
        source: str,
        learned: RuleState,
        closure_use: ClosureUse,
        *,
        mode: Any = None,
    ) -> RunningRule:
        """The rule of a source, over the groups of now, with what it had learned.

        Args:
            mode: "isolated": one that could not be recorded any more goes on so.

        Raises:
            SourceRejected: the static check refuses the source.
            RuleFailed: it could not be built, or does not take what it had learned.
        """
        rule = self.build(source, self.param_groups)
        try:
            rule.restore(learned)
            if mode == "isolated" and hasattr(rule, "stay_isolated"):
                rule.stay_isolated()
        except BaseException:
            rule.close()
            raise
        rule.closure_use = closure_use
        return rule

    def make_live(
        self,
        rule: RunningRule,
        owned: list[set[str]],
        references: References | None = None,
    ) -> None:
        """From now on `rule` takes the steps; the groups already hold its options.

        Args:
            references: per group, what its rate is relative to; None: every rate is
                what the loop's schedule sets.
        """
        if self.running is not rule:
            self.running.rest()
        self.running = rule
        self.owned = [set(names) - SCHEDULERS for names in owned]
        rule.bind(self.param_groups, self.owned)
        self.schedule.follow(references or [None] * len(self.param_groups))
        if rule is self.base_rule:
            self._tell_mode()

    def give_way(self, predecessor: Predecessor) -> None:
        """Put its options back in place of the live rule's, and make it live."""
        cycled = cycled_by(self.base)
        for group, owned, options in zip(
            self.param_groups, self.owned, predecessor.options, strict=False
        ):
            give_back(group, owned=owned, due=options, cycled=cycled)
        self.make_live(predecessor.rule, predecessor.owned, predecessor.references)

    def _tell_mode(self) -> None:
        """Tell the base, which is live again, what the loop last asked for."""
        mode, self._mode = self._mode, None
        if mode is not None:
            getattr(self.base, mode)()

    def trusted_step(self, closure: Closure | None) -> Any:
        """One step of the base optimizer, with what GradScaler left for it."""
        own = self.__dict__  # what the face has is looked for in classes first
        base, plain = own["base"], own["_plain_step"]
        scaled = "grad_scale" in own or "found_inf" in own
        if plain is not None and not scaled and "step" not in base.__dict__:
            return plain(base) if closure is None else plain(base, closure)
        passed = [name for name in ("grad_scale", "found_inf") if name in own]
        for name in passed:
            setattr(self.base, name, getattr(self, name))
        try:
            return self._silent_step(closure)
        finally:
            for name in passed:
                delattr(self.base, name)

    def _silent_step(self, closure: Closure | None) -> Any:
        if not has_step_hooks(self.base):
            return self.running.step(closure)
        with silenced(self.base):
            return self.running.step(closure)
