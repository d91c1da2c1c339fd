"""Losses that were told of, until their values come from their device."""

from collections import deque
from collections.abc import Mapping
from typing import Any, Self

from dux_agent.training.intake import Told

Losses = list[tuple[int, float]]


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

    def state(self, losses: Losses, *, put_back: int) -> list[list[Any]]:
        """Plain data.

        Args:
            losses: the value of each, with its step.
            put_back: how often weights have been put back by now.
        """
        rows = zip(self, losses, strict=True)
        return [[*told, mark == put_back, *loss] for (told, mark), loss in rows]

    @classmethod
    def of(cls, state: Mapping[str, Any], *, put_back: int) -> tuple[Self, Losses]:
        """Those of a loop's `state`, and their values; older checkpoints hold none.

        Raises:
            ValueError: they cannot have been told of.
        """
        coming, losses = cls(), []
        for at_edge, steps, scale, judged, step, value in state.get("coming", ()):
            told = Told(bool(at_edge), int(steps), float(scale))
            if told.steps < 0 or not told.scale > 0:
                raise ValueError("a loss is on its way that nobody told of")
            coming.append((told, put_back if judged else None))
            losses.append((int(step), float(value)))
        return coming, losses
