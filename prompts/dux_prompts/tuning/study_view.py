"""What a study looks like before its next trial, as plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

MOST_ROWS = 30
"""Trials that a prompt shows one by one: half of them the best, half the last."""


@dataclass(frozen=True)
class TrialRow:
    """One trial that is over, as a prompt tells it.

    Attributes:
        number: from 1.
        config: what was evaluated.
        value: what the objective gave; None where it failed.
        error: why it failed, one line.
        yours: the language model that is asked proposed it.
    """

    number: int
    config: Mapping[str, Any]
    value: float | None = None
    error: str = ""
    yours: bool = False


@dataclass(frozen=True, kw_only=True)
class StudyView:
    """One look at a study. Plain data throughout.

    Attributes:
        number: of the trial that is asked for, from 1.
        budget: evaluations of the whole study; None: nobody has said.
        task: a few words on the problem.
        maximize: whether higher values are better.
        trials: those that are over, in order.
        pending: configurations that are being evaluated.
        news: how many of the trials, from the last one back, the chat has not told;
            None: there is no chat yet, or it begins anew.
        optimizer: whose proposal may be replaced: `{"name", "proposal", "mean",
            "spread"}`; None: nobody's.
    """

    number: int
    budget: int | None = None
    task: str = ""
    maximize: bool = False
    trials: Sequence[TrialRow] = ()
    pending: Sequence[Mapping[str, Any]] = ()
    news: int | None = None
    optimizer: Mapping[str, Any] | None = field(default=None)

    @property
    def best(self) -> TrialRow | None:
        """The trial with the best value; of equal ones the first."""
        ranked = self.ranked()
        return ranked[0] if ranked and ranked[0].value is not None else None

    @property
    def left(self) -> int | None:
        """Evaluations that are left, the one that is asked for included."""
        return None if self.budget is None else max(0, self.budget - self.number + 1)

    def ranked(self) -> list[TrialRow]:
        """All of them, the best first, failed ones last."""
        sign = -1.0 if self.maximize else 1.0

        def worth(row: TrialRow) -> tuple[bool, float, int]:
            failed = row.value is None
            return (failed, 0.0 if row.value is None else sign * row.value, row.number)

        return sorted(self.trials, key=worth)

    def shown(self) -> list[TrialRow]:
        """Those that a prompt shows, the best first."""
        ranked = self.ranked()
        if len(ranked) <= MOST_ROWS:
            return ranked
        half = MOST_ROWS // 2
        last = {row.number for row in self.trials[-half:]}
        kept = ranked[: MOST_ROWS - half]
        return [row for row in ranked if row in kept or row.number in last]

    def as_dict(self) -> dict[str, Any]:
        """Plain data; a deep copy."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> StudyView:
        """The view that `as_dict` gave."""
        rows = [TrialRow(**row) for row in data["trials"]]
        return cls(**{**data, "trials": rows})
