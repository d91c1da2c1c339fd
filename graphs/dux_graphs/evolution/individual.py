"""What the search breeds: a thought and a source, and how far each has come."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

Values = tuple[float, ...]
"""Logarithms of loss to the reference's loss, in the order of tasks and seeds."""


@dataclass(frozen=True)
class Draft:
    """A source and the thought behind it, as an operator made it.

    Attributes:
        source: its text; "": none came of it but its cost.
        thought: one sentence.
        cost: of making it, in full trainings: what a language model was paid.
        config: of a retuned source, its constants by name.
    """

    source: str
    thought: str
    cost: float = 0.0
    config: Mapping[str, float] | None = None


@dataclass(frozen=True)
class Individual:
    """A draft with its place in the search.

    Attributes:
        number: from 1, in the order in which they were bred.
        draft: the source and its thought.
        operator: who made it: "zoo", "cross", "retune", "simplify", ...
        parents: their numbers.
        island: that it was bred for, from 0.
    """

    number: int
    draft: Draft
    operator: str
    parents: tuple[int, ...]
    island: int


@dataclass
class Standing:
    """How far an individual has come.

    Attributes:
        individual: the one.
        values: on each rung that it has climbed.
        price: what its cost adds to its score.
        cell: of the archive, by what it was seen to do.
        fingerprint: of its steps on fixed problems; "" before they were taken.
        stopped: the stage that it did not pass; "" while it goes on.
        why: in one line.
    """

    individual: Individual
    values: list[Values] = field(default_factory=list)
    price: float = 0.0
    cell: tuple[int, ...] = ()
    fingerprint: str = ""
    stopped: str = ""
    why: str = ""

    @property
    def rung(self) -> int:
        """The highest that it has climbed; -1: none."""
        return len(self.values) - 1

    def score(self, rung: int | None = None) -> float:
        """Mean of its values on a rung and its price; lower is better.

        None: on its highest. Infinite where it was never there.
        """
        place = self.rung if rung is None else rung
        if not 0 <= place <= self.rung:
            return math.inf
        values = self.values[place]
        return math.fsum(values) / len(values) + self.price

    @property
    def rank(self) -> tuple[int, float, int]:
        """Who has climbed higher is before who has not; then by score."""
        return (-self.rung, self.score(), self.individual.number)


Operator = Callable[[Sequence[Standing], Random], Draft | None]
"""Makes a draft of parents, the first of which is the chosen one; None: it cannot."""
