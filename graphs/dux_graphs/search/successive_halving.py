"""Ask at the same time in several directions, and try fewer and fewer for longer."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dux_graphs.proposals import Brief
from dux_graphs.search.best_dry_run import first_prompt
from dux_graphs.search.strategy import Attempt, Outcome, Request, Rung, final_loss
from dux_prompts.directions import direction
from dux_prompts.observation import Observation

_TEMPERATURES = (0.7, 1.0, 1.2)
# Measured on mnist: forking and building take as long as five steps of a dry run. With
# halves and three rungs four proposals took 2.7 times the time of one, so 2.0 times.
_KEPT, _SHORTER = 4, 0.2


@dataclass(frozen=True)
class SuccessiveHalving:
    """Several proposals a try; all but the best quarter are left behind at each rung.

    The calls are made at the same time, each in a direction of its own (Scattered
    Forest Search, Light et al. 2024) and at another temperature. A rung takes a fifth
    of the steps of the next one (successive halving, Jamieson and Talwalkar 2016): four
    dry runs of two steps, then one of ten.

    Attributes:
        brief: writes the prompts.
        candidates: proposals a try.
        towards: what a proposal that is written beside others is told, by its number.
        temperatures: of the second proposal and those after it, in turn.
    """

    brief: Brief
    candidates: int = 4
    towards: Callable[[int], str] = direction
    temperatures: tuple[float, ...] = _TEMPERATURES

    def requests(
        self, observation: Observation, archive: Sequence[Outcome], tries_left: int
    ) -> list[Request]:
        """The prompt of one proposal, and what each of the others adds to it."""
        asked = [Request(first_prompt(self.brief, observation, archive, tries_left))]
        for number in range(2, self.candidates + 1):
            another = self.brief.another(number, self.candidates)
            asked.append(
                Request(
                    f"{another}\n{self.towards(number)}",
                    self.temperatures[(number - 2) % len(self.temperatures)],
                    beside=True,
                )
            )
        return asked

    def choose(self, passed: Sequence[Attempt]) -> Attempt | None:
        """The lowest final loss; of equal ones the first."""
        return min(passed, key=final_loss, default=None)

    def tell(self, outcome: Outcome) -> None:
        """Nothing is learned from it but what the prompts say."""

    def rungs(self, candidates: int) -> Sequence[Rung]:
        """A quarter as many at each, until one is left for a whole dry run."""
        return self.rungs_of(candidates)

    @staticmethod
    def rungs_of(candidates: int) -> Sequence[Rung]:
        """The same of any of these strategies."""
        cuts = math.ceil(math.log(max(1, candidates), _KEPT) - 1e-9)
        return [
            Rung(_SHORTER ** (cuts - place), math.ceil(candidates / _KEPT**place))
            for place in range(cuts + 1)
        ]
