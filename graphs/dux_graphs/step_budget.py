"""Base steps that the dry runs of a decision take: how many, and what has room.

A base step is what a step of the training is: gradients of as many batches, and one
step of an optimizer. The incumbent takes those of a whole dry run, once a decision.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dux_graphs.search.strategy import Funnel, Racing, Rung, Strategy

Bounds = tuple[int, int]
WHOLE = Rung(1.0, 10**6)
_TRIED = ("dry_run", "approve", "apply")


def rungs_of(strategy: Strategy, count: int) -> Sequence[Rung]:
    """The stages that so many proposals of one try go through."""
    if count > 1 and isinstance(strategy, Funnel):
        return strategy.rungs(count)
    return [WHOLE]


def lanes_of(strategy: Strategy) -> int:
    """How many forms of one proposal are tried at most."""
    return strategy.lanes if isinstance(strategy, Racing) else 1


def steps_of(rung: Rung, whole: int) -> int:
    """Steps of a dry run of that stage, of the `whole` that one has."""
    return whole if rung.share >= 1 else max(1, round(rung.share * whole))


def runs_of(strategy: Strategy, count: int, whole: int) -> list[int]:
    """Steps of each dry run of so many proposals, where all but the best are left."""
    return [
        steps_of(rung, whole)
        for rung in rungs_of(strategy, count)
        for _ in range(min(count, rung.keep))
    ]


@dataclass(frozen=True)
class StepBudget:
    """What the dry runs of one decision may take.

    Attributes:
        most: base steps in all; None: as many as its tries come to.
        whole: of a whole dry run.
        strategy: says which stages proposals go through.
    """

    most: int | None
    whole: int
    strategy: Strategy

    def taken(self, attempts: Iterable[Mapping[str, Any]]) -> int:
        """What these attempts of a decision have taken, the incumbent's steps too."""
        tries: dict[int, dict[int, Mapping[str, Any]]] = {}
        for attempt in attempts:
            rules = [finding["rule"] for finding in attempt["findings"]]
            # Those that run as another one were never tried.
            if attempt["stage"] in _TRIED and "repeated" not in rules:
                tries.setdefault(attempt["try"], {})[attempt["candidate"]] = attempt
        tried = [each for own in tries.values() for each in own.values()]
        steps = self.whole if any(each["incumbent_losses"] for each in tried) else 0
        for own in tries.values():
            shorter = [
                steps_of(rung, self.whole)
                for rung in rungs_of(self.strategy, len(own))[:-1]
            ]
            for each in own.values():
                last = max(0, len(each["losses"]) - 1)
                steps += last + sum(n for n in shorter if n < last or n == self.whole)
        return steps

    def left(self, attempts: Sequence[Mapping[str, Any]]) -> int | None:
        """What proposals may take after these attempts; None: there is no limit."""
        if self.most is None:
            return None
        known = any(attempt["incumbent_losses"] for attempt in attempts)
        return self.most - self.taken(attempts) - (0 if known else self.whole)

    def room(self, attempts: Sequence[Mapping[str, Any]], wanted: int) -> int:
        """How many proposals of the `wanted` have room in the next try.

        However many of them come to a dry run: fewer may take longer.
        """
        left = self.left(attempts)
        if left is None:
            return wanted
        for count in range(1, wanted + 1):
            if sum(runs_of(self.strategy, count, self.whole)) > left:
                return count - 1
        return wanted

    def of_a_decision(self, candidates: int, tries: int) -> tuple[Bounds, Bounds]:
        """Base steps, and dry runs, of a decision with so many proposals a try.

        Each may be tried in several forms, where the strategy races some.

        Returns:
            Of each as many as it takes where the first proposals pass, and at most,
            where all but the last fail in whole dry runs.
        """
        tried = runs_of(self.strategy, self.room([], candidates), self.whole)
        candidates *= lanes_of(self.strategy)
        asked = runs_of(self.strategy, candidates, self.whole)
        short = [steps for steps in asked if steps < self.whole]
        most = self.whole + tries * (sum(short) + candidates * self.whole)
        if self.most is not None:
            most = min(most, self.most)
        runs = 1 + len(tried), 1 + tries * (len(short) + candidates)
        return (self.whole + sum(tried), most), runs

    def further(self, attempts: Sequence[Mapping[str, Any]], count: int) -> int | None:
        """How many more whole dry runs have room beside those of `count` proposals."""
        left = self.left(attempts)
        if left is None:
            return None
        spare = left - sum(runs_of(self.strategy, count, self.whole))
        return max(0, spare // self.whole)
