"""The live optimizer: keeps its identity while rules come and go behind it."""

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol

import torch

from dux_agent.choices import Place
from dux_agent.errors import BadArgument
from dux_agent.live.face import OptimizerFace
from dux_agent.live.guarded_slot import GuardedSlot
from dux_agent.live.hooks import (
    eager,
    forgets_plainly,
    hooked,
    leaves_out,
    share_hooks,
)
from dux_agent.live.replaced import ParametersInModel, complaint
from dux_agent.live.rule_slot import RuleBuilder, build_inline
from dux_agent.live.schedule import Schedule
from dux_sandbox.closures import Closure, LoopClosure
from dux_sandbox.findings import RuleFailed

log = logging.getLogger(__name__)

# At how many steps it is looked whether the model still holds the parameters: a look
# touches every module, as much as all the rest of a step that no rule takes.
_LOOK_AT_FIRST = 16
_LOOK_EVERY = 32
# A build without CUDA captures nothing, and is not asked at every step.
_MAY_BE_CAPTURED = torch.backends.cuda.is_built()


class StepListener(Protocol):
    """Is told what a training loop does with its live optimizer."""

    def step_begins(self, *, ready: bool) -> None:
        """It is about to step.

        Args:
            ready: the gradients are there; else a closure computes them.
        """

    def gradients_ready(self) -> None:
        """The closure has computed the gradients of the step, for the first time."""

    def step_ends(self) -> None:
        """It has stepped; what is raised here comes out of `step`."""


class DuxOptimizer(OptimizerFace):
    """A `torch.optim.Optimizer` whose rule can be replaced while it is in use.

    It shares the list and the dicts of `param_groups` with the optimizer it was made
    around, so that an LR scheduler made over either keeps working across swaps.

    Attributes (`GuardedSlot` and `RuleSlot` have more):
        base: the torch optimizer it was made around; step it only through here.
        on_replaced: called with what is wrong when the model has lost a parameter that
            is stepped, once for each.
        on_fallen: called when a step could not be recorded any more: where the live
            rule runs from now on, and why.
        listener: is told of every step, if set.
        on_forgotten: called when the loop zeroes its gradients, if set.
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
        schedule = Schedule(base.param_groups, (self, base), schedulers)
        GuardedSlot.__init__(
            self,
            base,
            build,
            schedule,
            model,
            guard_steps=guard_steps,
            snapshots=snapshots,
        )
        torch.optim.Optimizer.__init__(self, base.param_groups, base.defaults)
        self._groups = base.param_groups
        share_hooks(self, base)
        self.listener: StepListener | None = None
        self.on_forgotten: Callable[[], None] | None = None
        self.passes_closure = False
        self.on_replaced: Callable[[str], None] | None = None
        self.on_fallen: Callable[[str, str], None] | None = None
        self._ran: tuple[Any, str | None] = None, None
        self._in_model = (
            None if model is None else ParametersInModel(model, self._groups)
        )
        self._made = True

    @hooked
    def step(self, closure: Closure | None = None) -> Any:
        """Take one step; no fault of a rule ever comes out of it.

        Returns:
            What the rule returned: the closure's loss as a rule, else None.

        Raises:
            Whatever `closure` raises.
            RuntimeError: `close` has ended the rule's process.
            BadArgument: it is to become a part of a CUDA graph.
        """
        own = self.__dict__  # a name asked by the face is looked for in classes first
        listener, steps = own["listener"], own["steps"]
        if own["closed"]:
            raise RuntimeError(
                "the agent is closed and its rule's process has ended; an open one "
                "was wanted; close it after the last step."
            )
        if _MAY_BE_CAPTURED:
            _refuse_capture()
        if own["_look"].handed_out is not None:
            self.write_state()
        if steps % _LOOK_EVERY == 0 or steps < _LOOK_AT_FIRST:
            self._look_for_replaced()
        if "_opt_called" not in own:  # a scheduler made over either looks for this
            own["_opt_called"] = True
            self.base._opt_called = True  # type: ignore[attr-defined]
        if listener is not None:
            listener.step_begins(ready=closure is None)
        groups, guard, schedule = own["_groups"], own["guard"], own["schedule"]
        if len(groups) != len(own["owned"]):
            self.meet_groups()
        rule = own["running"]
        trusted = rule is own["base_rule"]
        plain = trusted and closure is None and own["_plain_step"] is not None
        watched = schedule.before_step(trusted=trusted, plain=plain)
        known = [] if guard.watch is None else [set(group) for group in groups]
        try:
            if closure is not None:
                result = self._step_with(closure)
            else:
                own["passes_closure"] = False
                result = guard.step(None)
        finally:
            if watched and rule is own["running"]:
                schedule.after_step()
        own["steps"] += 1
        if known and rule is own["running"]:
            for index, group in enumerate(groups):
                if len(group) != len(known[index]):
                    # What appears in a step is the rule's own, never a scheduler's.
                    self.owned[index].update(set(group) - known[index])
        if not trusted or own["_ran"][0] is not rule:
            self._look_for_fallen()
        if listener is not None:
            listener.step_ends()
        return result

    def _step_with(self, closure: Closure) -> Any:
        ready = None if self.listener is None else self.listener.gradients_ready
        loop = LoopClosure(closure, ready)
        result = self.guard.step(loop)
        gives_loss = loop.gives_loss
        if gives_loss is not self.passes_closure:
            self.passes_closure = gives_loss
        return result

    def _look_for_fallen(self) -> None:
        rule = self.running
        before, self._ran = self._ran, (rule, getattr(rule, "mode", None))
        if before[0] is rule and before[1] != self._ran[1] and self.on_fallen:
            self.on_fallen(str(self._ran[1]), str(getattr(rule, "why", "")))

    def _look_for_replaced(self) -> None:
        lost = self._in_model and self._in_model.lost()
        if not lost:
            return
        message = complaint(lost)
        log.warning("%s", message)
        if self.on_replaced is not None:
            self.on_replaced(message)

    @eager
    def zero_grad(self, set_to_none: bool = True) -> None:
        """Set the gradients to None, or to zero in place."""
        # Not out of `__dict__`: Lightning's wrapper, which inherits this, has no base.
        base, forgotten = self.base, self.on_forgotten
        if "gradient_state" in base.__dict__ and leaves_out(base):
            return
        if forgotten is not None:
            forgotten()
        self.schedule.look()
        if self.running is self.base_rule:
            if not set_to_none or not forgets_plainly(base):
                base.zero_grad(set_to_none)
                return
            for group in base.param_groups:
                for each in group["params"]:
                    each.grad = None
            return
        try:
            self.running.zero_grad(set_to_none)
        except RuleFailed as failed:
            self.guard.breach(f"the rule failed: {failed.finding}")
            self.zero_grad(set_to_none)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group to the live rule, and to the base optimizer behind it.

        A generated rule is built anew over all groups and gets its state back. Until
        the next swap its predecessor is the base optimizer.
        """
        if self._made:
            self.add_group(param_group)
        else:
            super().add_param_group(param_group)

    def close(self) -> None:
        """End rules' processes; whoever listened hears no more.

        `state_dict` still works afterwards; `step` does too unless an isolated rule
        was live.

        Raises:
            TypeError, ValueError: when all is ended: what was written into copies of
                the rule's state is nothing that a rule may keep.
        """
        if self.closed:
            return
        self.listener = self.on_forgotten = self.on_replaced = None
        try:
            self.write_state()
        finally:
            self._keep_states()
            for rule in (self.running, self.guard.waiting):
                if rule is not None and not rule.runs_here:  # else it needs no process
                    rule.close()

    def _keep_states(self) -> None:
        """For saves: what the rules have learned whose processes are about to end."""
        guard = self.guard
        if not self.running.runs_here:
            state = guard.rule_state()
            if not self.running.runs_here:  # fetching it has not rolled the rule back
                guard.last_state, self.closed = state, True
        if guard.waiting is not None and not guard.waiting.runs_here:
            with suppress(RuleFailed):  # a save says so
                guard.last_waiting = guard.waiting.snapshot()


# A scheduler that was made over the base and is pointed here later looks for this.
DuxOptimizer.step._wrapped_by_lr_sched = True


def _refuse_capture() -> None:
    """Raise BadArgument where a CUDA graph would hold the step."""
    if torch.cuda.is_initialized() and torch.cuda.is_current_stream_capturing():
        raise BadArgument(
            "the live optimizer is stepped while a CUDA graph is captured; a step that "
            "Python takes each time was wanted, since decisions change what it does; "
            "capture forward and backward alone, and call agent.optimizer.step() after "
            "each replay."
        )
