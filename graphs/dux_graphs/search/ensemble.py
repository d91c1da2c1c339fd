"""Several models by weight: who wins for little is asked more often."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from dux_graphs.search.odds import Tally, odds_of
from dux_graphs.search.strategy import Attempt, Funnel, Outcome, Request, Rung, Strategy
from dux_prompts.observation import Observation


@dataclass(frozen=True)
class Standing:
    """How one model has done.

    Attributes:
        asked: proposals that it was asked for and gave.
        wins: of them, those that went live and were not rolled back.
        cost: of all of them: dollars where any of the models has a price, else tokens.
        odds: that it is asked for the next one; those of all models sum to 1.
    """

    asked: int
    wins: int
    cost: float
    odds: float


@dataclass(frozen=True)
class Ensemble:
    """Asks for what another strategy asks for, each proposal of one of several models.

    A bandit over models with their cost, as in ShinkaEvolve (Lange et al. 2025): the
    odds of a model are its weight, times the share of its proposals that won (one won
    and one lost are put on top), over the square root of what a proposal of it costs.
    Before the first outcome they are the weights.

    Attributes:
        inner: what is asked for, and which proposal goes on.
        weights: by the name of the model, above 0.
        seed: of the draws; each follows from it, the decision and its place there.
    """

    inner: Strategy
    weights: Mapping[str, float]
    seed: int = 0

    def requests(
        self, observation: Observation, archive: Sequence[Outcome], tries_left: int
    ) -> list[Request]:
        """Those of the inner strategy, each with a model."""
        standings = self.standings(archive)
        names = list(standings)
        odds = [standings[name].odds for name in names]
        asked = self.inner.requests(observation, archive, tries_left)
        chosen = []
        for place, request in enumerate(asked):
            moment = (self.seed, observation.decision, tries_left, place)
            draw = random.Random(repr(moment))
            chosen.append(replace(request, model=draw.choices(names, odds)[0]))
        return chosen

    def choose(self, passed: Sequence[Attempt]) -> Attempt | None:
        """As the inner strategy."""
        return self.inner.choose(passed)

    def tell(self, outcome: Outcome) -> None:
        """The inner strategy is told too; wins are counted in the archive."""
        self.inner.tell(outcome)

    def rungs(self, candidates: int) -> Sequence[Rung]:
        """As the inner strategy."""
        inner = self.inner
        whole = [Rung(1.0, candidates)]
        return inner.rungs(candidates) if isinstance(inner, Funnel) else whole

    def standings(self, archive: Sequence[Outcome]) -> dict[str, Standing]:
        """How each model has done, by its name."""
        own = {
            name: [outcome for outcome in archive if outcome.model == name]
            for name in self.weights
        }
        priced = any("money" in outcome.cost for outcome in archive)
        kind = "money" if priced else "total_tokens"
        costs = {
            name: sum(float(outcome.cost.get(kind, 0)) for outcome in outcomes)
            for name, outcomes in own.items()
        }
        tallies = {
            name: Tally(len(outcomes), _wins(outcomes), costs[name], self.weights[name])
            for name, outcomes in own.items()
        }
        odds = odds_of(tallies)
        return {
            name: Standing(each.asked, each.wins, each.cost, odds[name])
            for name, each in tallies.items()
        }


def _wins(outcomes: Sequence[Outcome]) -> int:
    return sum(outcome.applied and not outcome.rolled_back for outcome in outcomes)


def told(standings: Mapping[str, Standing]) -> dict[str, Any]:
    """Standings as plain data, as a trace holds them."""
    return {name: asdict(standing) for name, standing in standings.items()}
