"""Watches the rule that is live and puts everything back when it does harm.

A guard is armed at a swap with a snapshot of the model, and stays armed for the
whole life of the rule. At every step it looks at what is cheap: the make of each
parameter, hooks, torch's global modes, and every loss it is shown. For `guard_steps`
after the swap, and at every 32nd step later, it also reads all parameters and wants
them finite. A device is not waited for: what it finds counts at the end of the step
after, and what is put back then is from before both.

The snapshot is renewed while the rule is healthy, every `max(guard_steps, 130)`
steps: a breach at step 5000 then costs some 150 steps of training, not 5000, at the
price of one copy of the model every 130 steps (0.3 to 1 % of a fused step) and of a
state of the predecessor's that is as old as the swap. A new snapshot counts only after
ten healthy losses at and after it, and where no row of weights that gradients did not
reach has moved far meanwhile. The one before it is kept too: the first losses after a
rollback may show that what was put back had been spoilt before.
"""

import logging
from dataclasses import replace
from typing import Any

import torch

from dux_agent.choices import Place
from dux_agent.live.aftermath import Aftermath
from dux_agent.live.ending import end
from dux_agent.live.gradients import gradients_stray, norm_on_device
from dux_agent.live.guard_memory import GuardMemory
from dux_agent.live.guarded_rule import DEAR_EVERY, GuardedRule
from dux_agent.live.integrity import all_finite, left_finite
from dux_agent.live.rule_slot import RuleSlot
from dux_agent.live.snapshot import BeforeStep
from dux_agent.live.step_looks import StepLooks
from dux_sandbox.closures import Closure, HandedClosure, LoopClosure
from dux_sandbox.findings import RuleFailed
from dux_sandbox.running_rule import RuleState
from dux_sandbox.sensed_rule import SensedRule

log = logging.getLogger(__name__)

NOTHING_PUT_BACK = (
    "nothing was put back (snapshots='off'): the optimizer before it goes on from the "
    "weights as they are"
)

RENEW_EVERY = 130


class Guard(GuardMemory):
    """Guards one live optimizer, made by it; `GuardMemory` has the attributes."""

    def __init__(
        self,
        slot: RuleSlot,
        model: torch.nn.Module | None = None,
        *,
        guard_steps: int = 100,
        snapshots: Place = "device",
    ) -> None:
        super().__init__(slot, model, snapshots)
        self._guard_steps = guard_steps
        self._renew_every = max(guard_steps, RENEW_EVERY)

    def step(self, closure: LoopClosure | None) -> Any:
        """One step of the live rule, or of its predecessor when it fails.

        The closure is evaluated whatever the rule makes of it.

        Raises:
            Whatever the caller's closure raises, and nothing of a rule's.
        """
        if self.watch is not None:
            self.watch.finite.hold_own(self.model)
            self.follow()
        watch = self.watch
        if watch is None:
            return self.slot.trusted_step(closure)
        first, before = self._remember(watch)
        handed = call = None
        if closure is not None:
            handed = HandedClosure(self.slot.running, closure, self._parameters())
            call = handed.before_step()
        if first:
            # Of gradients that only the closure computes nothing is known before it.
            known = closure is None or closure.values
            norm = norm_on_device(self._parameters()) if known else None
            watch.gradient_norm = None if norm is None else self.read(norm)
        if handed is not None:
            self.follow()
            if self.watch is not watch:
                return self.step(closure)
        looks, result, reason = self._watched_step(watch, call, closure)
        if reason is None:
            if watch.proved_by_steps():
                self._promote(watch)
            if closure is not None and closure.error is not None:
                raise closure.error
            return result if handed is None else handed.after_step(result)
        looks.put_back()
        if closure is not None and closure.error is not None:
            # The caller's own error may have ended the rule's process with the step.
            if not self._still_runs():
                self._roll_back(reason, before, first=first)
            raise closure.error
        return self._predecessor_steps(reason, before, closure, first=first)

    def _remember(self, watch: GuardedRule) -> tuple[bool, BeforeStep | None]:
        """Before a step: whether it is the first since the snapshot, and what it finds.

        Where the snapshot is due to be renewed, the next one is taken.
        """
        if watch.snapshot is None and self.keeps:
            watch.snapshot = self.snapshot()  # after a load: weights may come later
        kept = watch.snapshot
        first = watch.steps == (0 if kept is None else kept.step)
        if first and kept is not None:
            before = self.before_first_step()
            return before is not None, before
        if watch.steps % self._renew_every == 0 and kept is not None:
            if (newer := self.newer_snapshot(watch.steps)) is not None:
                watch.begin_renewal(newer, self._unreached_rows())
        return first, None

    def _watched_step(
        self, watch: GuardedRule, call: Closure | None, closure: LoopClosure | None
    ) -> tuple[StepLooks, Any, str | None]:
        """One step of the rule: what was looked at, what it gave, why it may not stand.

        Args:
            call: what the rule is handed for the loop's `closure`.
        """
        dear = watch.steps < self._guard_steps or watch.steps % DEAR_EVERY == 0
        around = None if call is None else watch.makes.around(call)
        if closure is None:
            watch.look_at_rows(self._parameters())
        rule = self.slot.running
        looks = StepLooks(
            self.slot.param_groups,
            self.model if dear else None,
            watch.makes,
            here=rule.runs_here,
        )
        result, reason = looks.run(lambda: rule.step(around))
        if closure is not None:
            watch.look_at_rows(self._parameters())
        watch.steps += 1
        if closure is None or closure.error is None:
            reason = watch.finite.settle() or reason
        reason = reason or looks.fault(self._memory)
        if reason is None and dear:
            parameters = self._parameters()
            finite = self.read(left_finite(rule, parameters))
            fault = f"a parameter was not finite after {watch.steps} steps"
            reason = watch.finite.look(finite, fault, parameters)
        return looks, result, self.agree(reason)

    def settle(self) -> None:
        """Between two steps: wait for what a device has found of the last one."""
        watch = self.watch
        reason = None if watch is None else self._told_late(watch.finite)
        if reason is not None:
            self._roll_back(reason, None)

    def forget(self) -> None:
        """What a device has yet to tell is of weights that will be loaded over."""
        if self.watch is not None:
            self.watch.finite.forget()

    def follow(self) -> None:
        """Take over, between two steps, what the loop did to its parameters.

        A rule that the model has grown away from gives way to its predecessor. The
        model stays as the loop has made it: nothing is put back.
        """
        while self.watch is not None:
            reason = self.watch.makes.follow(self.model)
            if reason is None:
                return
            log.warning("%s; its predecessor goes on", reason)
            self._roll_back(reason, None, blame=False)

    def observed(self, loss: float, *, of_one_step: bool = False) -> None:
        """A loss, of the one step since the last or of more; rolls back on a breach."""
        if self.aftermath is not None and self._relapsed(self.aftermath, loss):
            return
        watch = self.watch
        if watch is None or watch.steps == 0:
            return  # the rule has not stepped yet
        first, watch.sees_losses = not watch.sees_losses, True
        if first and of_one_step:
            watch.judge.begin_at(loss)
        if isinstance(self.slot.running, SensedRule):
            self.slot.running.hear(loss)
        reason = watch.judge.see(loss)
        if reason is not None:
            self._roll_back(f"{reason}, {watch.steps} steps after the swap", None)
        elif watch.proved_by_a_loss():
            self._promote(watch)

    def _relapsed(self, aftermath: Aftermath, loss: float) -> bool:
        """Put the older snapshot back where the newer one was spoilt already."""
        reason = aftermath.see(loss)
        if reason is not None or aftermath.over:
            self.aftermath = None
        if reason is None:
            return False
        aftermath.older.restore()
        if self.watch is not None:  # its predecessor is not to blame
            self.watch.go_back_to(aftermath.older)
        self.tell_relapse(
            f"after the rollback {reason}; what it had put back was spoilt, so the "
            f"snapshot before it was put back"
        )
        return True

    def rule_state(self) -> RuleState:
        """What the live rule has learned; one that cannot say is rolled back."""
        if self.last_state is not None:
            return self.last_state
        try:
            return self.slot.running.snapshot()
        except RuleFailed as failed:
            self.breach(f"the rule failed: {failed.finding}")
            return self.rule_state()

    def breach(self, reason: str) -> None:
        """The rule failed outside a step, as while its state was fetched."""
        if self.watch is not None:
            self.watch.finite.hold_own(self.model)
            self._roll_back(reason, None)

    def _promote(self, watch: GuardedRule) -> None:
        spoilt = None if all_finite(self._parameters()) else "not finite"
        # What a rank sees of it may be its own part of the weights.
        sound = self.agree(spoilt) is None
        fault = self.agree(watch.renew(sound=sound))
        if fault is not None:
            self._roll_back(fault, None)

    def _predecessor_steps(
        self,
        reason: str,
        before: BeforeStep | None,
        closure: LoopClosure | None,
        *,
        first: bool,
    ) -> Any:
        watch = self.watch
        norm = None if watch is None else watch.usual_norm()
        self._roll_back(reason, before, first=first)
        if closure is None and not first and gradients_stray(self._parameters(), norm):
            return None
        if closure is not None and closure.values and not first:
            # It is evaluated again, on the weights that were put back; one that does
            # not zero gradients itself would add to those of the weights that failed.
            self.slot.running.zero_grad()
        # The predecessor may be a generated rule too, guarded in its turn: when it
        # fails, the base optimizer takes the step.
        return self.step(closure)

    def _roll_back(
        self,
        reason: str,
        before: BeforeStep | None,
        *,
        first: bool = False,
        blame: bool = True,
    ) -> None:
        """Make its predecessor live; a rule that is to `blame` leaves no trace."""
        watch = self.watch
        if watch is None:
            return
        if blame and not self.keeps:
            reason = f"{reason}; {NOTHING_PUT_BACK}"
        slot = self.slot
        failed = slot.running
        # First the rule: what still runs of it could write on into the weights.
        end(failed, slot.param_groups)
        if watch.snapshot is not None and blame:
            watch.snapshot.restore(only_parameters=first)
        if before is not None:
            before.restore()
        if blame:
            watch.finite.put_back_own()
        slot.give_way(watch.predecessor)
        if slot.running is slot.base_rule:
            self.disarm()
        else:
            kept = watch.snapshot if blame else None
            self.arm(
                slot.base_predecessor,
                None if kept is None else replace(kept, step=0, healthy=0),
                watch.bound_at_snapshot,
                found=watch.judge.found,
                makes=watch.makes,
            )
        if blame and watch.older is not None:
            self.aftermath = Aftermath(watch.older, watch.bound_at_snapshot)
        self.tell_rollback(failed, reason, blame=blame)
