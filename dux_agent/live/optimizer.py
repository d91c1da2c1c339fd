"""The live optimizer: keeps its identity while rules come and go behind it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch

from dux_agent.choices import Place
from dux_agent.live.base_names import leaves_out
from dux_agent.live.face import OptimizerFace
from dux_agent.live.group_options import Options, options_of
from dux_agent.live.guard import Guard
from dux_agent.live.hooks import eager, hooked, share_hooks, silenced
from dux_agent.live.rates import References
from dux_agent.live.replaced import HeldParameters, complaint
from dux_agent.live.rule_builder import RuleBuilder, build_inline
from dux_agent.live.schedule import Schedule
from dux_agent.live.standing import Standing
from dux_agent.live.state_look import StateLook
from dux_agent.live.uncopied import Uncopied
from dux_sandbox.closures import Closure, LoopClosure
from dux_sandbox.findings import RuleFailed
from dux_sandbox.option_values import SCHEDULERS
from dux_sandbox.running import (
    InlineRule,
    RuleState,
    RunningRule,
)

log = logging.getLogger(__name__)


class StepListener(Protocol):
    """Is told what a training loop does with its live optimizer."""

    def step_begins(self) -> None:
        """It is about to step."""

    def gradients_ready(self) -> None:
        """The gradients of the step are there.

        Called once in every step: before it, or where the loop computes its gradients
        in a closure, when that was first called.
        """

    def step_ends(self) -> None:
        """It has stepped; what is raised here comes out of `step`."""

    def gradients_forgotten(self) -> None:
        """The loop zeroes its gradients."""


class DuxOptimizer(Uncopied, OptimizerFace):
    """A `torch.optim.Optimizer` whose rule can be replaced while it is in use.

    It shares the list and the dicts of `param_groups` with the optimizer it was made
    around, so that an LR scheduler made over either keeps working across swaps.

    Attributes:
        running: the live `RunningRule`; at first the base optimizer's.
        base: the torch optimizer it was made around; step it only through here.
        steps: steps taken since it was made or loaded.
        owned: per group, the names of the options that belong to the live rule.
        schedule: what the loop's schedule sets, and the live rates because of it.
        guard: watches the live rule; see `dux_agent.live.guard`.
        on_replaced: called with what is wrong when the model has lost a parameter that
            is stepped, once for each.
        listener: is told of every step, if set.
        passes_closure: the loop's last step had a closure that gave a loss.

    >>> weight = torch.nn.Parameter(torch.ones(1))
    >>> live = DuxOptimizer(torch.optim.SGD([weight], lr=0.5))
    >>> weight.grad = torch.ones(1)
    >>> live.step()
    >>> float(weight)
    0.5
    """

    def __init__(
        self,
        base: torch.optim.Optimizer,
        *,
        model: torch.nn.Module | None = None,
        build: RuleBuilder = build_inline,
        guard_steps: int = 100,
        schedulers: Sequence[Any] | None = None,
        snapshots: Place = "device",
    ) -> None:
        """Make the live optimizer around `base`.

        Args:
            base: any torch optimizer; it is live until a first swap and whenever
                everything else has failed.
            model: whose buffers the guard keeps too.
            build: makes a running rule of a source.
            guard_steps: steps after a swap with the dear checks.
            schedulers: the learning rate schedulers; None: they are looked for.
            snapshots: where the guard's live.
        """
        self._made = False
        self.base = base
        self.base_rule: RunningRule = InlineRule(base)
        self.running: RunningRule = self.base_rule
        self.build = build
        self.steps = 0
        self.listener: StepListener | None = None
        self.passes_closure = False
        self.closed = False
        self._last_state: RuleState | None = None
        self._look = StateLook()
        self._mode: str | None = None
        self.schedule = Schedule(base.param_groups, (self, base), schedulers)
        super().__init__(base.param_groups, base.defaults)
        self.param_groups = base.param_groups
        share_hooks(self, base)
        self._made = True
        self.owned: list[set[str]] = [
            set(base.defaults) & set(group) for group in self.param_groups
        ]
        self._known: list[Options] = list(self.param_groups)
        self._base_options = self._options_of_base()
        self.guard = Guard(self, model, guard_steps=guard_steps, snapshots=snapshots)
        self.on_replaced: Callable[[str], None] | None = None
        self._model = model
        self._held: HeldParameters | None = None
        self._hold()

    @property
    def base_standing(self) -> Standing:
        """The base optimizer as what would be live after everything else failed."""
        if self.running is self.base_rule:
            self._base_options = self._options_of_base()
        owned = [set(self.base.defaults) & set(each) for each in self._base_options]
        options = [
            {name: value for name, value in each.items() if name in names}
            for each, names in zip(self._base_options, owned, strict=True)
        ]
        return Standing(self.base_rule, owned, options)

    def _options_of_base(self) -> list[Options]:
        names = set(self.base.defaults)
        return [options_of(group, names) for group in self.param_groups]

    def standing(self) -> Standing:
        """The live rule as what would be live again after a rollback."""
        if self.running is self.base_rule:
            return self.base_standing
        references = self.schedule.references
        options = [
            options_of(group, names)
            for group, names in zip(self.param_groups, self.owned, strict=True)
        ]
        owned = [set(names) for names in self.owned]
        return Standing(self.running, owned, options, references)

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
            self.tell_mode()

    @eager
    @hooked
    def step(self, closure: Closure | None = None) -> Any:
        """Take one step; no fault of a rule ever comes out of it.

        Returns:
            What the rule returned: the closure's loss as a rule, else None.

        Raises:
            Whatever `closure` raises.
            RuntimeError: `close` has ended the rule's process.
        """
        listener = self.listener
        if self.closed:
            raise RuntimeError(
                "the agent is closed and its rule's process has ended; an open one "
                "was wanted; close it after the last step."
            )
        self.write_state()
        self._look_for_replaced()
        # A scheduler made over the base before attach() looks for this.
        self.base._opt_called = True  # type: ignore[attr-defined]
        if listener is not None:
            listener.step_begins()
        self.meet_groups()
        groups = self.param_groups
        rule = self.running
        self.schedule.before_step(trusted=rule is self.base_rule)
        known = [set(group) for group in groups] if self.guard.armed else []
        try:
            result = self._step(closure)
        finally:
            if rule is self.running:
                self.schedule.after_step()
        self.steps += 1
        if known and rule is self.running:
            for index, group in enumerate(groups):
                if len(group) != len(known[index]):
                    # What appears in a step is the rule's own, never a scheduler's.
                    self.owned[index].update(set(group) - known[index])
        if listener is not None:
            listener.step_ends()
        return result

    def _step(self, closure: Closure | None) -> Any:
        """The live rule's step, with the loop's closure or without."""
        if closure is None:
            self.passes_closure = False
            if self.listener is not None:
                self.listener.gradients_ready()
            return self.guard.step(None)
        ready = None if self.listener is None else self.listener.gradients_ready
        loop = LoopClosure(closure, ready)
        result = self.guard.step(loop)
        self.passes_closure = loop.gives_loss
        return result

    def _hold(self) -> None:
        """Note where the model holds the parameters that are stepped."""
        if self._model is not None:
            self._held = HeldParameters(self._model, self.param_groups)

    def _look_for_replaced(self) -> None:
        lost = [] if self._held is None else self._held.lost()
        if not lost:
            return
        message = complaint(lost)
        log.warning("%s", message)
        if self.on_replaced is not None:
            self.on_replaced(message)

    def meet_groups(self) -> None:
        """Step those too that were added by the base optimizer's own method."""
        if len(self._groups) == len(self.owned):
            return
        from dux_agent.live.new_groups import meet_groups, miss_groups

        self._hold()
        miss_groups(self, self._known)
        meet_groups(self)
        self._known = list(self._groups)

    def trusted_step(self, closure: Closure | None) -> Any:
        """One step of the base optimizer, with what GradScaler left for it."""
        own = vars(self)
        passed = [name for name in ("grad_scale", "found_inf") if name in own]
        for name in passed:
            setattr(self.base, name, getattr(self, name))
        try:
            with silenced(self.base):
                return self.running.step(closure)
        finally:
            for name in passed:
                delattr(self.base, name)

    @eager
    def zero_grad(self, set_to_none: bool = True) -> None:
        """Set the gradients to None, or to zero in place."""
        if leaves_out(self.base):
            return
        if self.listener is not None:
            self.listener.gradients_forgotten()
        self.schedule.look()
        if self.running is self.base_rule:
            self.base.zero_grad(set_to_none)
            return
        try:
            self.running.zero_grad(set_to_none)
        except RuleFailed as failed:
            self.guard.breach(f"the rule failed: {failed.finding}")
            self.zero_grad(set_to_none)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group to the live rule, and to the base optimizer behind it.

        A generated rule is built anew over all groups and gets its state back. Until
        the next swap its incumbent is the base optimizer.
        """
        if not self._made:
            super().add_param_group(param_group)
            return
        from dux_agent.live.new_groups import add_group, miss_groups

        miss_groups(self, self._known)
        add_group(self, param_group)
        self._known = list(self._groups)
        self._hold()

    def set_base_options(self, options: list[Options]) -> None:
        """The values that the base optimizer's groups get when it is live again."""
        self._base_options = options

    def leave_base_options(self, left: Sequence[int]) -> None:
        """Of the groups that wait for the base optimizer, these are left."""
        self._base_options = [self._base_options[index] for index in left]

    def rule_state(self) -> RuleState:
        """What the live rule has learned; a rule that cannot say is rolled back."""
        if self._last_state is not None:
            return self._last_state
        self.write_state()
        try:
            return self.running.snapshot()
        except RuleFailed as failed:
            self.guard.breach(f"the rule failed: {failed.finding}")
            return self.rule_state()

    def close(self) -> None:
        """End rules' processes.

        `state_dict` still works afterwards; `step` does too unless an isolated rule
        was live.
        """
        if self.closed:
            return
        if self.running.isolated:
            state = self.rule_state()
            if self.running.isolated:  # fetching it has not rolled the rule back
                self._last_state, self.closed = state, True
        incumbent = self.guard.incumbent
        if self.running.isolated:  # one that runs here goes on without us
            self.running.close()
        if incumbent is not None and incumbent.rule.isolated:
            incumbent.rule.close()
