"""Watches a run of the base optimizer itself: no language model, no rules.

It is the guard of rules, turned on what is live without them. A loss that is not
finite, losses above the bounds of `dux_agent.live.loss_bound`, or a parameter that is
not finite take the run back to its last good snapshot: weights, buffers, the
optimizer's state. Training goes on from there with the batches that come next, at
`rollback_lr` times the rate; after `max_rollbacks` of it the next breach raises.

The random numbers are not put back, as they are for a rule: a loop that draws its
batches from them would draw the very batches again that did the harm.

A snapshot is taken when the guard begins and renewed every `max(guard_steps, 130)`
steps. A new one counts after ten healthy losses at and after it, and only if weights
and optimizer are finite. The bounds are taken from the last 64 losses with each new
snapshot (and at the start after 8, 16 and 32), twice as wide as for a rule.
"""

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from dux_agent.choices import Place
from dux_agent.errors import TrainingDiverged
from dux_agent.live.gradients import gradient_norm
from dux_agent.live.guard import Guard
from dux_agent.live.guard_state import Snapshots
from dux_agent.live.guarded_rule import DEAR_EVERY
from dux_agent.live.guarded_run import GuardedRun
from dux_agent.live.integrity import all_finite, finite_on_device
from dux_agent.live.loss_bound import LossBound
from dux_agent.live.rates import Reference
from dux_agent.live.rule_slot import RuleSlot
from dux_agent.live.run_losses import RunLosses
from dux_agent.live.run_snapshot import RunSnapshot
from dux_agent.live.snapshot import NEWER, unless_crowded
from dux_sandbox.closures import LoopClosure
from dux_sandbox.group_shares import number_in
from dux_sandbox.language.torch_names import KERNEL_FLAGS

log = logging.getLogger(__name__)

# A parameter, its gradient when the run went back, and what version that had.
Mark = tuple[torch.Tensor, torch.Tensor, int]

NEVER_WRITTEN = {"params", "lr", *KERNEL_FLAGS}


@dataclass(frozen=True)
class WentBack:
    """One rollback of a run.

    Attributes:
        reason: what was seen.
        number: which rollback it is, from 1.
        steps: how many steps of training were undone.
        factor: what the rates are times from now on.
    """

    reason: str
    number: int
    steps: int
    factor: float


class RunGuard(Guard):
    """Guards the base optimizer's run, and rules like any guard while one is live.

    Attributes:
        rollbacks: how often the run went back.
        factor: what the rates are times since, whatever sets them.
        on_went_back: called after everything was put back.
        on_diverged: called with the error before it is raised.
    """

    def __init__(
        self,
        slot: RuleSlot,
        model: torch.nn.Module | None = None,
        *,
        guard_steps: int = 100,
        snapshots: Place = "device",
        rollback_lr: float = 0.5,
        max_rollbacks: int = 3,
    ) -> None:
        """Begin to guard: the run as it is now is the first that it can go back to.

        Args:
            slot: its base is guarded.
            model: whose buffers are kept too.
            guard_steps: steps at the start and after a rollback with the dear checks.
            snapshots: where they live; "off" is for rules alone.
            rollback_lr: what rates are times after each rollback.
            max_rollbacks: how many there are before the next breach raises.
        """
        super().__init__(slot, model, guard_steps=guard_steps, snapshots=snapshots)
        self._host = snapshots == "host"
        self.rollbacks = 0
        self.factor = 1.0
        self.on_went_back: Callable[[WentBack], None] | None = None
        self.on_diverged: Callable[[TrainingDiverged], None] | None = None
        self._rollback_lr = rollback_lr
        self._max_rollbacks = max_rollbacks
        self._begin()

    def disarm(self) -> None:
        """No rule is live any more: guard the run from here on."""
        super().disarm()
        self._begin()

    def _begin(self) -> None:
        self._stale: list[Mark] = []
        self._run = GuardedRun(self._take(0, None), RunLosses())

    def _take(self, steps: int, bound: LossBound | None) -> RunSnapshot:
        base = self.slot.base
        return RunSnapshot.take(base, self.model, steps, bound, host=self._host)

    def step(self, closure: LoopClosure | None) -> Any:
        """One step of the base optimizer; goes back when it did harm.

        Raises:
            TrainingDiverged: it did harm again after the last rollback.
            Whatever the base optimizer or the closure raise.
        """
        if self.armed:
            return super().step(closure)
        run, parameters = self._run, self._parameters()
        run.finite.hold_own(self.model)
        if not run.is_of(parameters) or (run.steps == 0 and not run.holds(parameters)):
            # Weights that were loaded since are what there is to go back to. Only
            # then: a first batch may have spoilt the buffers already.
            self._begin()
        elif run.steps and run.quiet and run.quiet % self._renew_every == 0:
            bound = run.losses.judge.bound
            run.pending = unless_crowded(lambda: self._take(run.steps, bound), NEWER)
        run = self._run
        dear = run.quiet < self._guard_steps or run.quiet % DEAR_EVERY == 0
        stale, self._stale = self._stale, []
        if closure is None and stale and self._are_stale(stale):
            return None
        groups = self.slot.param_groups
        before = [dict(group) for group in groups] if dear else []
        result = self.slot.trusted_step(closure)
        run = self._run
        run.note_step(before, groups)
        reason = run.finite.settle()
        if reason is None and dear:
            fault = f"a parameter was not finite after step {self.slot.steps + 1}"
            finite = self.read(finite_on_device(parameters))
            reason = run.finite.look(finite, fault, parameters)
        if reason is not None:
            self._go_back(reason)
        elif run.proved_by_steps():
            run.renew(finite=all_finite(self._parameters()))
        return result

    def settle(self) -> None:
        """Wait for what a device has found of the last step; goes back for it.

        Raises:
            TrainingDiverged: it is a breach again after the last rollback.
        """
        if self.armed:
            super().settle()
        elif (reason := self._told_late(self._run.finite)) is not None:
            self._go_back(reason)

    def forget(self) -> None:
        """What a device has yet to tell is of weights that will be loaded over."""
        super().forget()
        self._run.finite.forget()

    def observed(self, loss: float, *, of_one_step: bool = False) -> None:
        """A loss of the run; goes back when it is a breach.

        Args:
            of_one_step: see `Guard.observed`.

        Raises:
            TrainingDiverged: it is one again after the last rollback.
        """
        if self.armed:
            super().observed(loss, of_one_step=of_one_step)
            return
        run = self._run
        run.sees_losses = True
        if run.quiet == 0:
            return  # of a step that is undone already, or before any
        reason = run.losses.see(loss)
        if reason is not None:
            self._go_back(reason)
        elif run.proved_by_a_loss():
            run.renew(finite=all_finite(self._parameters()))

    def _are_stale(self, marks: list[Mark]) -> bool:
        """Whether the gradients are of the weights that were undone.

        A loop may tell of a loss between its backward pass and its step. It may clip
        them in between too: NaN stays what it is.
        """
        if all(
            each.grad is gradient and gradient._version == version
            for each, gradient, version in marks
        ):
            return True
        norm = gradient_norm(self._parameters())
        return norm is not None and not math.isfinite(norm)

    def _go_back(self, reason: str) -> None:
        self.put_back += 1
        undone = self._run.go_back(self.slot.base)
        self._stale = [
            (each, each.grad, each.grad._version)
            for each in self._parameters()
            if each.grad is not None
        ]
        if self.rollbacks >= self._max_rollbacks:
            error = TrainingDiverged(
                f"training diverged again after {self.rollbacks} rollbacks: {reason}; "
                f"a run that goes on was wanted; the weights of {undone} steps before "
                f"are back: look at the batches since, lower the rate, or raise "
                f"max_rollbacks."
            )
            if self.on_diverged is not None:
                self.on_diverged(error)
            raise error
        self.rollbacks += 1
        self.factor *= self._rollback_lr
        hold_back(self.slot, self.factor)
        said = "%s; the run goes on from %d steps before at %g times the rate"
        log.warning(said, reason, undone, self.factor)
        if self.on_went_back is not None:
            self.on_went_back(WentBack(reason, self.rollbacks, undone, self.factor))

    def state_dict(self, *, snapshots: Snapshots = "all") -> dict[str, Any]:
        """What it remembers: plain data and tensors of its own.

        Args:
            snapshots: with what it would go back to: weights, buffers and the
                optimizer's state once more; "all": twice while a snapshot is new.
        """
        return {
            "rollbacks": self.rollbacks,
            "factor": self.factor,
            **self._run.state_dict(snapshots),
        }

    def prepare(self, state: Mapping[str, Any]) -> Callable[[], None]:
        """Read what `state_dict` gave; what is returned makes the guard go on from it.

        Raises:
            LookupError, TypeError, ValueError: it is damaged, or of another model.
        """
        factor = float(state["factor"])
        parameters = self._parameters()
        good, pending = (
            None
            if state[name] is None
            else RunSnapshot.of(state[name], parameters, self.model, host=self._host)
            for name in ("good", "pending")
        )
        for each in (good, pending):
            if each is not None and each.learned is not None:
                each.learned.require_fit(self.slot.base)
        # No step writes these; a checkpoint that is somebody's may say so.
        written = [set(names) - NEVER_WRITTEN for names in state["written"]]
        losses = RunLosses.of(state)
        rollbacks, quiet = int(state["rollbacks"]), int(state["quiet"])
        steps, sees_losses = int(state["steps"]), bool(state["sees_losses"])

        def take_over() -> None:
            self.rollbacks, self.factor = rollbacks, factor
            self._stale = []
            fresh = good is None
            self._run = GuardedRun(
                good=good or self._take(0, losses.judge.bound),
                losses=losses,
                pending=None if fresh else pending,
                steps=0 if fresh else steps,
                quiet=quiet,
                sees_losses=sees_losses,
                written=written,
            )

        return take_over


def hold_back(slot: RuleSlot, factor: float) -> None:
    """Let every rate of the base optimizer be `factor` times what the loop sets.

    Whatever sets it, a scheduler or the loop itself; 1 gives the rates back.
    """
    slot.schedule.prepare()
    reference = None if factor == 1.0 else Reference(factor, own=1.0)
    rates = [number_in(group.get("lr")) for group in slot.param_groups]
    slot.schedule.follow([None if rate is None else reference for rate in rates])
