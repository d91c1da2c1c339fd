"""What the guard remembers of the rule that is live, and of what came before it."""

import logging
from collections.abc import Callable, Iterator, Mapping

import torch

from dux_agent.choices import Place
from dux_agent.live.aftermath import Aftermath
from dux_agent.live.ending import end_all
from dux_agent.live.endings import Endings
from dux_agent.live.guarded_rule import GuardedRule
from dux_agent.live.integrity import Makes
from dux_agent.live.late_numbers import FiniteLooks, Read, read_number
from dux_agent.live.loss_bound import LossBound, LossJudge
from dux_agent.live.rule_slot import Predecessor, RuleSlot
from dux_agent.live.snapshot import (
    NEWER,
    BeforeStep,
    Snapshot,
    unless_crowded,
)
from dux_agent.live.untouched_rows import UntouchedRows, exemption
from dux_sandbox.findings import RuleFailed
from dux_sandbox.running_rule import RuleState, RunningRule, parameters_of

log = logging.getLogger(__name__)


class GuardMemory(Endings):
    """Armed at a swap, it knows what is put back and which rule comes back.

    Attributes (`Endings` has more):
        slot: the live rule's place.
        snapshots: where they live; "off": none is kept, and a breach ends the rule
            without anything being put back.
        model: whose buffers and module hooks are guarded too; None: parameters only.
        watch: what is remembered of the live rule; None while the base is.
        aftermath: what is watched for some losses after a rollback.
        last_state: what the rule had learned when its process was ended, if it was.
        last_waiting: the same of the predecessor.
        agree: makes what is found against a step here what all ranks find.
        alone: no other rank trains the same model.
        read: gives the value of a number that a device computes, or what waits for it.
    """

    def __init__(
        self, slot: RuleSlot, model: torch.nn.Module | None, snapshots: Place
    ) -> None:
        super().__init__()
        self.slot = slot
        self.model = model
        self.snapshots: Place = snapshots
        self.watch: GuardedRule | None = None
        self.aftermath: Aftermath | None = None
        self.last_state: RuleState | None = None
        self.last_waiting: RuleState | None = None
        self.agree: Callable[[str | None], str | None] = lambda reason: reason
        self.alone = True
        self.read: Read = read_number

    @property
    def armed(self) -> bool:
        """Whether a rule is being guarded; the trusted base optimizer is not."""
        return self.watch is not None

    @property
    def keeps(self) -> bool:
        """Whether snapshots are kept."""
        return self.snapshots != "off"

    @property
    def predecessor(self) -> Predecessor | None:
        """What would be live again after a breach."""
        return None if self.watch is None else self.watch.predecessor

    @property
    def waiting(self) -> RunningRule | None:
        """The generated rule that would come back; None where the base would."""
        rule = None if self.watch is None else self.watch.predecessor.rule
        return None if rule is self.slot.base_rule else rule

    def lose_predecessor(self, reason: str) -> None:
        """The base optimizer takes the place of a predecessor that is gone."""
        gone = self.waiting
        if self.watch is not None and gone is not None:
            self.watch.predecessor = self.slot.base_predecessor
            end_all(self.slot.param_groups, gone)
        log.warning("the predecessor is lost: %s; the base optimizer is next", reason)
        self.tell_lost(reason)

    def snapshot(self, step: int = 0) -> Snapshot:
        """A snapshot of the model as it is now, after `step` steps of the rule."""
        groups, host = self.slot.param_groups, self.snapshots != "device"
        return Snapshot.take(groups, self.model, step, host=host)

    def newer_snapshot(self, step: int) -> Snapshot | None:
        """One beside the one that is kept; None: there is no room."""
        return unless_crowded(lambda: self.snapshot(step), NEWER)

    def before_first_step(self) -> BeforeStep | None:
        """What the step after the snapshot finds besides; None: there is no room."""
        held, host = self._parameters(), self.snapshots == "host"
        return unless_crowded(
            lambda: BeforeStep(held, self.model, host=host),
            "the gradients of a rule's first step once more",
        )

    def arm(
        self,
        predecessor: Predecessor,
        snapshot: Snapshot | None,
        bound: LossBound | None = None,
        *,
        reach: float = 0.0,
        found: float | None = None,
        makes: Makes | None = None,
    ) -> None:
        """Guard the rule that has just become live.

        Args:
            predecessor: what is live again after a breach.
            snapshot: what is put back; None: the model as the first step finds it.
            bound: how high the loss may go.
            reach, found: see `LossJudge`.
            makes: the parameters as they were when it was built; None: as they are.
        """
        self.watch = GuardedRule(
            predecessor=predecessor,
            snapshot=snapshot if self.keeps else None,
            judge=LossJudge(bound, reach=reach, found=found),
            bound_at_snapshot=bound,
            makes=makes or Makes(self.slot.param_groups),
            rows=self._unreached_rows(),
        )
        self.aftermath = None

    def _unreached_rows(self) -> UntouchedRows | None:
        if not self.keeps or exemption(self.slot.running.source):
            return None
        return UntouchedRows(self._parameters())

    def disarm(self) -> None:
        """Guard nothing: the base optimizer is live."""
        self.watch = None

    def _told_late(self, finite: FiniteLooks) -> str | None:
        """Between two steps: what a device has found of the last one; waits for it."""
        finite.hold_own(self.model)
        return finite.settle()

    def _parameters(self) -> list[torch.Tensor]:
        return parameters_of(self.slot.param_groups)

    def _memory(self) -> Iterator[torch.Tensor]:
        """Every tensor that a rate must not be a part of."""
        for parameter in self._parameters():
            yield parameter
            if parameter.grad is not None:
                yield parameter.grad
        rule = self.slot.running
        state = rule.state_by_parameter() if rule.runs_here else {}
        for entry in state.values():
            if isinstance(entry, Mapping):
                yield from (v for v in entry.values() if isinstance(v, torch.Tensor))

    def _still_runs(self) -> bool:
        try:
            self.slot.running.snapshot()
        except RuleFailed:
            return False
        return True
