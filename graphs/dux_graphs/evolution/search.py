"""The search, without any training: asks operators for drafts, is told what came."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random

from dux_graphs.evolution.individual import (
    Draft,
    Individual,
    Operator,
    Standing,
    Values,
)
from dux_graphs.evolution.islands import Islands
from dux_graphs.evolution.racing import climbers, highest_rung, leader
from dux_graphs.evolution.retuning import Structure
from dux_graphs.evolution.syntax import normal_form, structure
from dux_graphs.search.odds import Tally, odds_of

RETUNE, REPAIR = "retune", "repair"
BY = "@"
"""Between an operator and who it asks, where several may be: each pair is an arm."""

NOVELTY = "novelty"
"""The stage that stops twins of earlier ones."""

_OF_TWO = ("cross", "explore")  # operators whose drafts are made of both parents
_DRAWS = 20  # for one place, until a draft is no twin of an earlier one
_MENDABLE = 8  # of those that broke a law or raised, that may still be repaired
_CHECKS = 0.1  # what all stages before the trainings cost, in full trainings


@dataclass(frozen=True)
class Climbed:
    """What came of an individual on a rung.

    Attributes:
        values: see `dux_graphs.evolution.individual.Values`.
        price: what its cost adds to its score.
        cell: of the archive.
        cost: of the trainings, in full trainings.
    """

    values: Values
    price: float = 0.0
    cell: tuple[int, ...] = ()
    cost: float = 1.0


class Evolution:
    """One search; the same seed and the same answers make the same search.

    Attributes:
        tallies: of each operator.
        evaluations: individuals that have passed as new, so far.
        twins: drafts that were equal to an earlier one: nothing was paid for them.
    """

    def __init__(
        self,
        first: Sequence[Draft],
        operators: Mapping[str, Operator],
        *,
        seed: int,
        islands: int = 4,
    ) -> None:
        """A search from a first population.

        Args:
            first: evaluated before anything is bred.
            operators: by name; "retune" is always there.
            islands: at most so many, and no more than `first` has drafts.
        """
        self.tallies = {name: Tally() for name in (*operators, RETUNE)}
        self.evaluations = self.twins = 0
        self.islands = Islands(max(1, min(islands, len(first))))
        self._first = list(first)
        self._operators = dict(operators)
        self._seed, self._number = seed, 0
        self._forms: dict[str, int] = {}
        self._fingerprints: dict[str, int] = {}
        self._structures: dict[str, Structure] = {}
        self._scores: dict[int, float] = {}
        self._under_way: dict[int, Standing] = {}
        self._mendable: deque[Standing] = deque(maxlen=_MENDABLE)

    def ask(self, count: int) -> list[Standing]:
        """So many new individuals, or fewer where nothing new can be bred."""
        asked = []
        for _ in range(count):
            island = self.islands.next()
            found = self._from_first(island) or self._bred(island)
            if found is not None:
                self.evaluations += 1
                self._under_way[found.individual.number] = found
                asked.append(found)
        return asked

    def is_twin(self, one: Standing, fingerprint: str) -> bool:
        """Whether it does on fixed problems what an earlier one did; then it is over.

        A twin costs no evaluation.
        """
        number, one.fingerprint = one.individual.number, fingerprint
        earlier = self._fingerprints.setdefault(fingerprint, number)
        if earlier == number:
            return False
        self.evaluations -= 1
        self.twins += 1
        self.stop(one, NOVELTY, f"it steps as {earlier} does, on fixed problems")
        self._scores[number] = self._scores.get(earlier, math.inf)
        return True

    def stop(self, one: Standing, stage: str, why: str) -> None:
        """It did not pass a stage."""
        one.stopped, one.why = stage, why
        if one.rung < 0 and stage != NOVELTY:
            self._mendable.append(one)
        if self._under_way.pop(one.individual.number, None) is not None:
            self._count(one, won=False, cost=_CHECKS)

    def climbed(self, one: Standing, came: Climbed) -> None:
        """It has reached its next rung."""
        one.values.append(came.values)
        one.price, one.cell = came.price, came.cell
        if self._under_way.pop(one.individual.number, None) is not None:
            self._scores[one.individual.number] = one.score()
            self._count(one, self._won(one), came.cost)
        self.islands.settle(one)

    def climbers(self) -> list[tuple[Standing, int]]:
        """Those that climb now, each with its rung; newcomers first."""
        newcomers = [(one, 0) for one in self._under_way.values()]
        highest = highest_rung(self.evaluations)
        return [*newcomers, *climbers(self.islands.living(), highest)]

    def generation_over(self) -> None:
        """Guests change islands, and structures of which nobody lives are forgotten."""
        self.islands.migrate()
        for one in self.islands.populations:
            one.sort(key=lambda each: each.rank)
        alive = {structure(e.individual.draft.source) for e in self.islands.living()}
        for gone in self._structures.keys() - alive:
            del self._structures[gone]

    def finalists(self, count: int) -> list[Standing]:
        """The best that live, the best of all first."""
        going = [each for each in self.islands.living() if not each.stopped]
        return sorted(going, key=lambda each: each.rank)[:count]

    @property
    def best(self) -> Standing | None:
        """Who leads; None where nobody has climbed anything."""
        return leader(self.islands.living())

    def _from_first(self, island: int) -> Standing | None:
        while self._first:
            draft = self._first.pop(0)
            found = self._new(draft, "first", (), island)
            if found is not None:
                return found
        return None

    def _bred(self, island: int) -> Standing | None:
        rng = Random(f"{self._seed}:{self._number}")
        for _ in range(_DRAWS):
            parents = self.islands.parents(island, rng)
            if not parents:
                return None
            odds = odds_of(self.tallies)
            name = rng.choices(list(odds), list(odds.values()))[0]
            make = self._retuned if name == RETUNE else self._operators[name]
            kind = name.partition(BY)[0]
            if kind == REPAIR:
                if not self._mendable:
                    continue
                parents = [self._mendable.pop()]
            draft = make(parents, rng)
            if draft is None or not draft.source:
                cost = 0.0 if draft is None else draft.cost + _CHECKS
                self._tally(name, won=False, cost=cost)
                continue
            numbers = tuple(each.individual.number for each in parents)
            if kind not in _OF_TWO:
                numbers = numbers[:1]
            found = self._new(draft, name, numbers, island)
            if found is not None:
                return found
            self._tally(name, won=False, cost=draft.cost)
        return None

    def _retuned(self, parents: Sequence[Standing], rng: Random) -> Draft | None:
        held = self._structures.get(structure(parents[0].individual.draft.source))
        if held is None:
            return None
        numbers = [number for number, _ in held.trials]
        scores = [self._scores.get(number, math.inf) for number in numbers]
        return held.next(scores, rng.randrange(1 << 30))

    def _new(
        self, draft: Draft, operator: str, parents: tuple[int, ...], island: int
    ) -> Standing | None:
        """An individual of the draft; None where it is the twin of an earlier one."""
        form = normal_form(draft.source)
        if form in self._forms:
            self.twins += 1
            self._learn(draft, self._forms[form])
            return None
        self._number += 1
        self._forms[form] = self._number
        self._learn(draft, self._number)
        return Standing(Individual(self._number, draft, operator, parents, island))

    def _learn(self, draft: Draft, number: int) -> None:
        """Tell the tuner of a structure which of its constants are tried."""
        held = self._structures.setdefault(
            structure(draft.source), Structure(draft.source)
        )
        if draft.config is not None:
            held.trials.append((number, dict(draft.config)))
        elif not held.trials:
            held.trials.append((number, held.start()))

    def _won(self, one: Standing) -> bool:
        """Whether it is ahead of its parents where all of them were: on rung 0."""
        parents = [self._scores.get(each, math.inf) for each in one.individual.parents]
        return one.score(0) < min(parents, default=math.inf)

    def _count(self, one: Standing, won: bool, cost: float) -> None:
        if one.individual.operator in self.tallies:
            whole = cost + one.individual.draft.cost
            self._tally(one.individual.operator, won=won, cost=whole)

    def _tally(self, name: str, *, won: bool, cost: float) -> None:
        held = self.tallies[name]
        self.tallies[name] = replace(
            held, asked=held.asked + 1, wins=held.wins + won, cost=held.cost + cost
        )
