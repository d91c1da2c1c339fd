"""How far a table is, and how long the rest will take, by the trainings so far."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol


class Timed(Protocol):
    """A training that is over, as far as it matters here."""

    @property
    def seconds(self) -> float:
        """Wall time of all that it cost."""

    @property
    def trainings(self) -> int:
        """Whole ones that it cost."""


@dataclass
class Pace:
    """What is done of a table.

    Attributes:
        left: by its name, what is still to be done: its task, and trainings of it.
        workers: that are at it at a time.
        known: seconds of a training of a task, of an earlier table.
    """

    left: dict[str, tuple[str, int]]
    workers: int = 1
    known: dict[str, list[float]] = field(default_factory=dict)
    _own: dict[str, list[float]] = field(default_factory=dict)
    _done: int = 0

    @classmethod
    def of(
        cls,
        jobs: Mapping[str, tuple[str, int]],
        kept: Iterable[tuple[str, Timed]],
        workers: int,
    ) -> Pace:
        """What is to be done of `jobs`, where some of them are kept."""
        pace = cls(dict(jobs), workers)
        for name, course in kept:
            task, _ = pace.left.pop(name)
            pace.known.setdefault(task, []).append(course.seconds / course.trainings)
        return pace

    def begin(self, kept: int) -> str:
        """What is said at first."""
        told = f"{len(self.left)} rows to train, {kept} kept from before"
        return f"{told}{self._rest()}"

    def over(self, name: str, course: Timed) -> str:
        """What is said of one that has just been trained."""
        task, _ = self.left.pop(name)
        self._own.setdefault(task, []).append(course.seconds / course.trainings)
        self._done += 1
        return f"[{self._done} of {self._done + len(self.left)}{self._rest()}]"

    def seconds_left(self) -> float | None:
        """About how long the rest takes; None: nobody knows yet.

        A task of which nothing is known counts as the usual one.
        """
        usual = {
            task: statistics.median(paces)
            for task, paces in {**self.known, **self._own}.items()
        }
        if not usual:
            return None
        other = statistics.median(usual.values())
        return (
            sum(count * usual.get(task, other) for task, count in self.left.values())
            / self.workers
        )

    def _rest(self) -> str:
        seconds = self.seconds_left()
        if seconds is None or not self.left:
            return ""
        if seconds < 90:
            return f", about {seconds:.0f} s left"
        return f", about {seconds / 60:.0f} min left"
