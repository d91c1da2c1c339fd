"""What the guard remembers of the rule that is live, and when a snapshot is renewed."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch

from dux_agent.live.integrity import Makes
from dux_agent.live.late_numbers import FiniteLooks, OnItsWay
from dux_agent.live.loss_bound import LossBound, LossJudge
from dux_agent.live.rule_slot import Predecessor
from dux_agent.live.snapshot import Snapshot
from dux_agent.live.untouched_rows import LOOK_EVERY, UntouchedRows

DEAR_EVERY = 32
HEALTHY_LOSSES = 10


@dataclass
class GuardedRule:
    """Everything about the rule being guarded.

    Attributes:
        predecessor: what is live again after a breach.
        snapshot: what is put back; None: none yet, or none is kept.
        judge: of the losses.
        bound_at_snapshot: how high the loss might go when the snapshot was made.
        makes: the parameters as they were last found.
        gradient_norm: when the snapshot was made, where it was known, or what waits
            for it.
        pending: the next snapshot, until losses have shown it to be sound.
        older: the snapshot before the one that counts.
        rows: what gradients have reached since the newest snapshot, pending or not;
            None: not watched.
        rows_to_pending: what they had reached when the pending one was made.
        steps: taken by the rule.
        sees_losses: the loop tells losses.
        finite: looks at what its steps left.
    """

    predecessor: Predecessor
    snapshot: Snapshot | None
    judge: LossJudge
    bound_at_snapshot: LossBound | None
    makes: Makes
    gradient_norm: float | OnItsWay | None = None
    pending: Snapshot | None = None
    older: Snapshot | None = None
    rows: UntouchedRows | None = None
    rows_to_pending: UntouchedRows | None = None
    steps: int = 0
    sees_losses: bool = False
    finite: FiniteLooks = field(default_factory=FiniteLooks)

    def usual_norm(self) -> float | None:
        """`gradient_norm`; waits for it."""
        if callable(self.gradient_norm):
            self.gradient_norm = self.gradient_norm()
        return self.gradient_norm

    def look_at_rows(self, parameters: Sequence[torch.Tensor]) -> None:
        """Note what the gradients of this step reach; cheap, and not at every step."""
        if self.rows is not None and self.steps % LOOK_EVERY == 0:
            self.rows.look(parameters)

    def begin_renewal(self, pending: Snapshot, rows: UntouchedRows | None) -> None:
        """This snapshot is to count once losses have shown it to be sound.

        Args:
            pending: of now.
            rows: fresh ones, for what gradients reach from now on.
        """
        self.pending = pending
        self.rows_to_pending, self.rows = self.rows, rows

    def proved_by_a_loss(self) -> bool:
        """After a healthy loss: whether the pending snapshot has seen enough."""
        if self.pending is None:
            return False
        self.pending.healthy += 1
        return self.pending.healthy >= HEALTHY_LOSSES

    def proved_by_steps(self) -> bool:
        """The same after a step, in a loop that shows no losses."""
        if self.pending is None or self.sees_losses:
            return False
        return self.steps - self.pending.step >= DEAR_EVERY

    def go_back_to(self, older: Snapshot) -> None:
        """An older snapshot was put back, and counts from now on."""
        self.snapshot = replace(older, step=self.steps, healthy=0)
        self.pending, self.finite = None, FiniteLooks()

    def renew(self, *, sound: bool) -> str | None:
        """Let the pending snapshot count, if it is `sound`.

        Returns:
            Why it must not count, where the rule has spoilt rows out of sight.
        """
        pending, rows = self.pending, self.rows_to_pending
        self.pending = self.rows_to_pending = None
        if pending is None or not sound:
            return None
        if rows is not None and self.snapshot is not None:
            fault = rows.fault(self.snapshot.values, pending.values)
            if fault is not None:
                return f"{fault}, {pending.step} steps after the swap"
        self.older, self.snapshot = self.snapshot, pending
        self.bound_at_snapshot = self.judge.bound
        return None
