"""The newest losses of a run of the base optimizer, and the bounds that they give."""

import math
from collections import deque
from collections.abc import Mapping
from typing import Any, Self

from dux_agent.live.loss_bound import LossBound, LossJudge

_LOSSES = 64
_EARLY = (8, 16, 32)
_REACH_OF = 32
_WIDTH = 2.0


class RunLosses:
    """Judges each loss by those before it.

    Attributes:
        judge: of the next one.
    """

    def __init__(self) -> None:
        self.judge = LossJudge(None)
        self._newest: deque[float] = deque(maxlen=_LOSSES)
        self._seen = 0
        self._reach = 0.0

    def see(self, loss: float) -> str | None:
        """One more loss; why it is a breach, or None."""
        reason = self.judge.see(loss)
        if reason is not None:
            return reason
        self._newest.append(loss)
        self._seen += 1
        if self._seen % _REACH_OF == 0:
            newest = list(self._newest)[-_REACH_OF:]
            self._reach = max(self._reach, math.fsum(newest) / len(newest))
        if self._seen in _EARLY:
            self.take_bound()
        return None

    def take_bound(self) -> None:
        """Take the bounds from the losses that there are."""
        bound = LossBound.of(list(self._newest), reach=self._reach, width=_WIDTH)
        self.judge = LossJudge(bound, reach=self._reach)

    def begin_again(self, bound: LossBound | None) -> None:
        """The run went back to where this bound held."""
        self.judge = LossJudge(bound, reach=self._reach)
        self._newest.clear()
        self._seen = 0 if bound is None else _REACH_OF

    def state_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "judge": self.judge.state_dict(),
            "losses": list(self._newest),
            "seen": self._seen,
            "reach": self._reach,
        }

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Self:
        """What goes on from what `state_dict` gave.

        Raises:
            LookupError, TypeError, ValueError: it is something else.
        """
        made = cls()
        made.judge = LossJudge.of(state["judge"])
        made._newest.extend(float(loss) for loss in state["losses"])
        made._seen, made._reach = int(state["seen"]), float(state["reach"])
        return made
