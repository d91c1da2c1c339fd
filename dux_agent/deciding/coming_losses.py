"""Losses that were told of, until their values come from their device."""

from collections import deque

from dux_agent.training.intake import Told


class ComingLosses(deque[tuple[Told, int | None]]):
    """Each with how often weights had been put back; None: nobody is judged by it."""

    @property
    def steps(self) -> int:
        """Optimizer steps that they tell of."""
        return sum(told.steps for told, _ in self)

    def judge_nobody(self) -> None:
        """They are of weights that are loaded over."""
        told = [each for each, _ in self]
        self.clear()
        self.extend((each, None) for each in told)
