"""The newest batches, for dry runs, as long as they fit the parameters."""

from collections import deque
from typing import Any

import torch

from dux_agent.live.rule_slot import RuleSlot


class FittingBatches:
    """Adds to the batches of one training; earlier ones than a `model.to()` go."""

    def __init__(self, batches: deque[Any], live: RuleSlot) -> None:
        """Add to `batches`, which the parameters of `live` are trained on."""
        self._batches, self._live = batches, live
        self._kind: tuple[torch.dtype, torch.device] | None = None

    def remember(self, batch: Any) -> None:
        """Keep one more."""
        if not self._still_fit():
            self._batches.clear()
        self._batches.append(batch)

    def drop_others(self) -> None:
        """Keep the newest alone where those before it do not fit any more."""
        batches = self._batches
        if batches and not self._still_fit():
            newest = batches[-1]
            batches.clear()
            batches.append(newest)

    def _still_fit(self) -> bool:
        groups = self._live.base.param_groups  # the same, without a look at schedules
        first = next((each for group in groups for each in group["params"]), None)
        kind = None if first is None else (first.dtype, first.device)
        before, self._kind = self._kind, kind
        return before in (None, kind)
