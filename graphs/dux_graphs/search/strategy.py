"""What a strategy decides, and what it learns: requests, a choice, outcomes."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from dux_prompts.observation import Observation

Attempt = Mapping[str, Any]
"""One proposal and what became of it, see `dux_graphs.state.DecisionState`."""


@dataclass(frozen=True)
class Request:
    """One proposal that is asked for.

    Attributes:
        prompt: the message; of the later ones of a try only what they add to the first.
        temperature: of the sampling; None: as the model is set up.
        model: name of the one that is asked; None: the first.
        parents: digests of the proposals that it is to be made of.
        beside: asked at the same time as the first one and without its reply, with a
            message that is the first one's and its own. Else asked after it, with it
            in sight.
    """

    prompt: str
    temperature: float | None = None
    model: str | None = None
    parents: tuple[str, ...] = ()
    beside: bool = False


@dataclass(frozen=True)
class Outcome:
    """What became of one proposal, as far as it is known.

    Attributes:
        digest: of the source; "" where the reply held none.
        source: its text.
        parents: digests of the proposals that it was made of.
        stage: where it ended: "reply", "static_check", "dry_run", "apply".
        ok: it passed all of them as far as it went.
        findings: what spoke against it, as dicts.
        dry_run_losses: before each step of its dry run and after the last one.
        incumbent_losses: the same of what was live.
        applied: it went live.
        live_losses: means of the fifths of the interval that it lived through; empty
            before that is over, and where it was not applied.
        validation: the validation loss after that interval, where there is one.
        rolled_back: it did harm, and everything was put back.
        step: of the run, when it was asked for.
        cost: of its call: tokens and, where there is a price, "money", dollars.
        decision: number of the decision, from 1.
        number: of the try and of the proposal in it, both from 1.
        model: name of who was asked for it, "" where there is one alone.
    """

    digest: str
    source: str
    parents: tuple[str, ...]
    stage: str
    ok: bool
    findings: tuple[Mapping[str, Any], ...]
    dry_run_losses: tuple[float, ...]
    incumbent_losses: tuple[float, ...]
    applied: bool
    live_losses: tuple[float, ...]
    validation: float | None
    rolled_back: bool
    step: int
    cost: Mapping[str, float]
    decision: int
    number: tuple[int, int]
    model: str


class Strategy(Protocol):
    """Says who is asked for what, and which proposal goes on.

    What it does may depend on nothing but its arguments and what it was told: a run
    that is resumed or replayed tells it the same again.
    """

    def requests(
        self, observation: Observation, archive: Sequence[Outcome], tries_left: int
    ) -> list[Request]:
        """What is asked for in the next try.

        Args:
            observation: how training goes.
            archive: every proposal of the run, those of this decision last.
            tries_left: this one included, at least 1.

        Returns:
            At least one.
        """
        ...

    def choose(self, passed: Sequence[Attempt]) -> Attempt | None:
        """Which of those that passed the dry run is built first; None: none of them.

        It is asked again without the one that it chose, where that cannot be built.
        """
        ...

    def tell(self, outcome: Outcome) -> None:
        """What became of a proposal that was applied, after the interval it lived in.

        Resumed runs tell of those of before first.
        """
        ...


@dataclass(frozen=True)
class Rung:
    """One stage of the dry runs of a try.

    Attributes:
        share: of the steps of a whole dry run, above 0; the last rung's is 1.
        keep: how many may go on to it: the best of the rung before.
    """

    share: float
    keep: int


@runtime_checkable
class Funnel(Protocol):
    """What a strategy has besides, where not all are tried for as many steps."""

    def rungs(self, candidates: int) -> Sequence[Rung]:
        """The stages that so many proposals go through."""
        ...


@runtime_checkable
class Racing(Protocol):
    """What a strategy has besides, where each proposal is tried in several forms."""

    @property
    def lanes(self) -> int:
        """How many forms one may be tried in, its own too."""
        ...

    def variations(self, source: str, observation: Observation) -> Sequence[str]:
        """Other forms of a source; those that are more useful first."""
        ...


def of_the_last_try(archive: Sequence[Outcome], decision: int) -> list[Outcome]:
    """The proposals of the last try of a decision; none before the first."""
    own = [outcome for outcome in archive if outcome.decision == decision]
    last = max((outcome.number[0] for outcome in own), default=0)
    return [outcome for outcome in own if outcome.number[0] == last]


def final_loss(attempt: Attempt) -> float:
    """The loss a dry run ended with; without a finite one it counts as infinite."""
    losses = attempt["losses"]
    return losses[-1] if losses and math.isfinite(losses[-1]) else math.inf
