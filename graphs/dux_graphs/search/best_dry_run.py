"""Ask one after the other, and take whose dry run ends lowest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dux_graphs.proposals import Brief
from dux_graphs.search.strategy import (
    Attempt,
    Outcome,
    Request,
    final_loss,
    of_the_last_try,
)
from dux_prompts.observation import Observation


@dataclass(frozen=True)
class BestDryRun:
    """Every proposal of a try is tried for as long; the lowest final loss goes on.

    Attributes:
        brief: writes the prompts.
        candidates: proposals a try; each is asked for with those before it in sight.
    """

    brief: Brief
    candidates: int = 1

    def requests(
        self, observation: Observation, archive: Sequence[Outcome], tries_left: int
    ) -> list[Request]:
        """How training goes, or what was found in the last try; then others."""
        first = first_prompt(self.brief, observation, archive, tries_left)
        others = range(2, self.candidates + 1)
        more = [self.brief.another(number, self.candidates) for number in others]
        return [Request(first), *map(Request, more)]

    def choose(self, passed: Sequence[Attempt]) -> Attempt | None:
        """The lowest final loss; of equal ones the first."""
        return min(passed, key=final_loss, default=None)

    def tell(self, outcome: Outcome) -> None:
        """Nothing is learned from it but what the prompts say."""


def first_prompt(
    brief: Brief, observation: Observation, archive: Sequence[Outcome], tries_left: int
) -> str:
    """How training goes; after a try of this decision, what was found in it."""
    judged = of_the_last_try(archive, observation.decision)
    if not judged:
        return brief.update(observation)
    return brief.repair([_told(each) for each in judged if not each.ok], tries_left)


def _told(outcome: Outcome) -> Mapping[str, Any]:
    """An outcome as `Brief.repair` takes it."""
    return {
        "try": outcome.number[0],
        "candidate": outcome.number[1],
        "source": outcome.source,
        "digest": outcome.digest,
        "stage": outcome.stage,
        "ok": outcome.ok,
        "findings": [dict(each) for each in outcome.findings],
        "losses": list(outcome.dry_run_losses),
        "incumbent_losses": list(outcome.incumbent_losses),
    }
