"""What a replay cannot know of itself: which decisions came when, or were paused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dux_agent.deciding.background import BackgroundWork
from dux_agent.run_folder.trace import Event
from dux_agent.run_folder.watchers_word import PAUSED
from dux_graphs.events import ApplyEvent, ObservationEvent


@dataclass(frozen=True)
class Pace:
    """The steps of a recorded run, by the number of the decision.

    How long a model thinks and how many slices fit between two steps nobody repeats; a
    replay does all of it at the step where the run had come to it. So it does of what
    a person did.

    Attributes:
        dry_runs_at: at which each dry run began.
        over_at: at which the decision was over.
        paused: decisions that a person had not made.
        experience: what their prompts showed of other trainings.
    """

    dry_runs_at: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    over_at: Mapping[int, int] = field(default_factory=dict)
    paused: frozenset[int] = frozenset()
    experience: Mapping[int, Sequence[Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, events: Iterable[Event]) -> Pace:
        """The pace of the run that a trace tells of; the last `apply` counts."""
        dry_runs_at: dict[int, tuple[int, ...]] = {}
        over_at: dict[int, int] = {}
        paused: set[int] = set()
        experience: dict[int, Sequence[Any]] = {}
        for event in events:
            if event.decision is not None and isinstance(event.body, ApplyEvent):
                dry_runs_at[event.decision] = event.body.dry_runs_at
                over_at[event.decision] = event.step
                if event.body.reason == PAUSED:
                    paused.add(event.decision)
            elif event.decision is not None and isinstance(
                event.body, ObservationEvent
            ):
                experience[event.decision] = event.body.experience
        return cls(dry_runs_at, over_at, frozenset(paused), experience)

    def keep(
        self, work: BackgroundWork, decision: int, step: int, dry_runs_at: list[int]
    ) -> bool:
        """Do what the recorded run had done by a step; whether all was over.

        Args:
            work: of a decision that is being made.
            decision: its number.
            step: of now.
            dry_runs_at: step at which each dry run began; grows meanwhile.
        """
        if self.over_by(decision, step):
            work.serve_whole()
            return True
        begun = self.begun_by(decision, step)
        work.serve_whole(lambda: len(dry_runs_at) >= begun)
        return False

    def begun_by(self, decision: int, step: int) -> int:
        """How many dry runs of a decision had begun by a step."""
        return sum(at <= step for at in self.dry_runs_at.get(decision, ()))

    def over_by(self, decision: int, step: int) -> bool:
        """Whether a decision was over by a step."""
        over = self.over_at.get(decision)
        return over is not None and over <= step
