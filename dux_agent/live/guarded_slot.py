"""A slot with its guard: what swaps, saves and loads work on."""

from typing import Any

import torch

from dux_agent.choices import Place
from dux_agent.live.guard import Guard
from dux_agent.live.new_groups import add_group, meet_groups, miss_groups
from dux_agent.live.rule_slot import RuleBuilder, RuleSlot
from dux_agent.live.schedule import Schedule
from dux_agent.live.state_look import StateLook, by_index, same_state
from dux_sandbox.findings import RuleFailed
from dux_sandbox.running import RuleState, RunningRule


class GuardedSlot(RuleSlot):
    """A `RuleSlot` whose rule is watched; the attributes are there.

    Attributes:
        guard: watches the live rule; see `dux_agent.live.guard`.
        closed: the process that the live rule had is ended.
    """

    def __init__(
        self,
        base: torch.optim.Optimizer,
        build: RuleBuilder,
        schedule: Schedule,
        model: torch.nn.Module | None = None,
        *,
        guard_steps: int = 100,
        snapshots: Place = "device",
    ) -> None:
        """Begin with the base optimizer live; see `DuxOptimizer` for the arguments."""
        super().__init__(base, build, schedule)
        self.guard = Guard(self, model, guard_steps=guard_steps, snapshots=snapshots)
        self.closed = False
        self._look = StateLook()
        self._known = list(base.param_groups)

    def meet_groups(self) -> None:
        """Step those too that were added by the base optimizer's own method."""
        if len(self._groups) == len(self.owned):
            return
        miss_groups(self.guard, self._known)
        self.write_state()
        meet_groups(self.guard)
        self._known = list(self._groups)

    def add_group(self, param_group: dict[str, Any]) -> None:
        """Add a group to the live rule, and to the base optimizer behind it.

        A generated rule is built anew over all groups and gets its state back. Until
        the next swap its predecessor is the base optimizer.
        """
        miss_groups(self.guard, self._known)
        self.write_state()
        add_group(self.guard, param_group)
        self._known = list(self._groups)

    def rule_state(self) -> RuleState:
        """What the live rule has learned; a rule that cannot say is rolled back."""
        if self.guard.last_state is None:
            self.write_state()
        return self.guard.rule_state()

    def write_state(self) -> None:
        """Send to a rule in another process what was written into copies of its state.

        Raises:
            TypeError, ValueError: it is nothing that a rule may keep; it is dropped.
        """
        rule = self.running
        handed_out = self._look.holds(rule)
        written = self._look.taken_back()
        if not handed_out or self.closed:
            return
        wanted = by_index(written, self._groups)
        now = self.guard.rule_state()
        if self.running is rule and not same_state(wanted, now.state):
            self._put(rule, RuleState(wanted, now.attributes))

    def _put(self, rule: RunningRule, state: RuleState) -> None:
        try:
            rule.restore(state)
        except RuleFailed as failed:
            self.guard.breach(f"the rule failed: {failed.finding}")
