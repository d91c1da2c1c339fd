"""The first losses after a rollback: was what it put back any good?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dux_agent.live.loss_bound import LossBound, LossJudge
from dux_agent.live.snapshot import Snapshot

_LOSSES = 32


class Aftermath:
    """Judges the losses that follow a rollback by the bound that held before it.

    A rule may have spoilt, unseen by any loss, what lay in the snapshot that was put
    back. The one before it is kept at hand until then.

    Attributes:
        older: the snapshot before the one that was put back.
        over: nothing is watched any more.
    """

    def __init__(self, older: Snapshot, bound: LossBound | None) -> None:
        self.older = older
        self._judge = LossJudge(bound)
        self._seen = 0

    @classmethod
    def of(cls, state: Mapping[str, Any], older: Snapshot) -> Aftermath:
        """The one that `state_dict` gave, with its snapshot read.

        Raises:
            LookupError, TypeError, ValueError: it is damaged.
        """
        made = cls(older, None)
        made._judge, made._seen = LossJudge.of(state["judge"]), int(state["seen"])
        return made

    def state_dict(self) -> dict[str, Any]:
        """Plain data and tensors that nobody changes."""
        return {
            "older": self.older.state_dict(),
            "judge": self._judge.state_dict(),
            "seen": self._seen,
        }

    @property
    def over(self) -> bool:
        """Whether enough losses were well, or the model has changed its make."""
        return self._seen > _LOSSES or not self.older.fits()

    def see(self, loss: float) -> str | None:
        """One more loss; why what was put back is no good, or None."""
        self._seen += 1
        if self._seen == 1 or self.over:
            return None  # the first one is of the step in which the rule failed
        return self._judge.see(loss)
