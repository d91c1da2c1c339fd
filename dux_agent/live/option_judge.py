"""The judge of what a rule's step has left in the groups, for every kind of execution.

A rate that no scheduler can go on from is a breach: the rule is rolled back. What
belongs to a scheduler is put back without a word: its own bounds, and a momentum that
it drives where the rule has left none that it can read.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch

from dux_agent.live.group_options import Options, put_back, unreadable
from dux_agent.live.group_options import held as held_options
from dux_sandbox.option_values import (
    CYCLED,
    MOST_OPTIONS,
    SCHEDULERS,
    is_cycled,
    rate_fault,
)

_ABSENT = object()


class OptionJudge:
    """Knows the groups' options as they were before one step.

    What the loop itself wrote is never judged, whatever it is: only what has changed
    in the step.
    """

    def __init__(self, groups: Sequence[Options]) -> None:
        self._groups = groups
        self._held = [held_options(group) for group in groups]

    def fault(self, shared: Callable[[], Iterable[torch.Tensor]]) -> str | None:
        """Why the step may not stand, as a sentence, or None; mends what it can.

        Args:
            shared: gives the tensors whose memory no rate may lie in.
        """
        for group, known in zip(self._groups, self._held, strict=False):
            was = {name: value for name, value, _ in known}
            if len(group) > max(MOST_OPTIONS, len(was)):
                return f"the step left {len(group)} options in a group"
            self._mend(group, was)
            now = group.get("lr", _ABSENT)
            if type(now) is float and now is was.get("lr"):
                continue
            found = self._rate_fault(now, known, shared)
            if found is not None:
                return f"the step left a rate that is none: {found}"
        return None

    def put_back(self) -> None:
        """Make the groups hold what they held before the step."""
        for group, known in zip(self._groups, self._held, strict=False):
            put_back(group, known)

    def _mend(self, group: Options, was: Options) -> None:
        for name in SCHEDULERS & was.keys():
            group[name] = was[name]
        if is_cycled(was):
            lost = {name for name in CYCLED & was.keys() if name not in group}
            for name in lost | (unreadable(was, group) & was.keys()):
                group[name] = was[name]

    def _rate_fault(
        self,
        now: Any,
        known: Iterable[tuple[str, Any, Any]],
        shared: Callable[[], Iterable[torch.Tensor]],
    ) -> str | None:
        rates = [(value, copy) for name, value, copy in known if name == "lr"]
        before, copy = rates[0] if rates else (_ABSENT, _ABSENT)
        if now is before:
            # A tensor may have been written to; what was no rate before is the loop's.
            if not isinstance(now, torch.Tensor) or rate_fault(copy) is not None:
                return None
            return rate_fault(now)
        if now is _ABSENT:
            return "group['lr'] is gone; it must be a number"
        return rate_fault(now, shared() if isinstance(now, torch.Tensor) else ())
