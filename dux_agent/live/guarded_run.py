"""What the guard remembers of a run of the base optimizer."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from dux_agent.live.group_options import Options
from dux_agent.live.guard_state import Snapshots
from dux_agent.live.guarded_rule import DEAR_EVERY, HEALTHY_LOSSES
from dux_agent.live.late_numbers import FiniteLooks
from dux_agent.live.run_losses import RunLosses
from dux_agent.live.run_snapshot import RunSnapshot


@dataclass
class GuardedRun:
    """Everything about the run being guarded.

    Attributes:
        good: what it goes back to.
        losses: the newest, and their judge.
        pending: the next snapshot, until losses have shown it to be sound.
        steps: since the guard began; those that were undone do not count.
        quiet: steps since it began or last went back.
        sees_losses: the loop tells losses.
        written: per group, the values that the optimizer writes in its own steps.
        finite: looks at what its steps left.
    """

    good: RunSnapshot
    losses: RunLosses
    pending: RunSnapshot | None = None
    steps: int = 0
    quiet: int = 0
    sees_losses: bool = False
    written: list[set[str]] = field(default_factory=list)
    finite: FiniteLooks = field(default_factory=FiniteLooks)

    def is_of(self, parameters: Sequence[torch.Tensor]) -> bool:
        """Whether it is these that it would be taken back in."""
        known = self.good.model.parameters
        pairs = zip(known, parameters, strict=False)
        return len(known) == len(parameters) and all(one is two for one, two in pairs)

    def holds(self, parameters: Sequence[torch.Tensor]) -> bool:
        """Whether they are as they were when the good snapshot was made."""
        return self.is_of(parameters) and all(
            torch.equal(kept, value.detach().to(kept.device))
            for kept, value in zip(self.good.model.values, parameters, strict=True)
        )

    def note_step(self, before: Sequence[Options], groups: Sequence[Options]) -> None:
        """One more step; which values of its groups the optimizer has written in it.

        Args:
            before: the groups as they were; none where nobody looked.
        """
        self.steps += 1
        self.quiet += 1
        self.written += [set() for _ in range(len(groups) - len(self.written))]
        for was, group, names in zip(before, groups, self.written, strict=False):
            names.update(
                name
                for name, value in group.items()
                if name not in ("params", "lr") and value is not was.get(name)
            )

    def proved_by_a_loss(self) -> bool:
        """After a healthy loss: whether the pending snapshot has seen enough."""
        self.good.bound = self.good.bound or self.losses.judge.bound
        if self.pending is None:
            return False
        self.pending.model.healthy += 1
        return self.pending.model.healthy >= HEALTHY_LOSSES

    def proved_by_steps(self) -> bool:
        """The same after a step, in a loop that shows no losses."""
        if self.pending is None or self.sees_losses:
            return False
        return self.steps - self.pending.model.step >= DEAR_EVERY

    def renew(self, *, finite: bool) -> None:
        """The pending snapshot counts from now on, if it and the weights are sound."""
        pending, self.pending = self.pending, None
        if pending is not None and finite and pending.sound():
            self.losses.take_bound()
            pending.bound = self.losses.judge.bound
            self.good = pending

    def go_back(self, base: torch.optim.Optimizer) -> int:
        """Put everything back to where it was good; the steps that are undone."""
        self.good.restore(base, self.written)
        self.finite.put_back_own()
        undone = self.steps - self.good.model.step
        self.pending, self.finite = None, FiniteLooks()
        self.quiet = 0
        self.steps = self.good.model.step
        self.losses.begin_again(self.good.bound)
        return undone

    def state_dict(self, snapshots: Snapshots) -> dict[str, Any]:
        """Plain data and tensors of its own; see `RunGuard.state_dict`."""
        pending = self.pending if snapshots == "all" else None
        return {
            "good": self.good.state_dict(self.written) if snapshots else None,
            "pending": None if pending is None else pending.state_dict(self.written),
            **self.losses.state_dict(),
            "steps": self.steps,
            "quiet": self.quiet,
            "sees_losses": self.sees_losses,
            "written": [sorted(names) for names in self.written],
        }
