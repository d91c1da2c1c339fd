"""How a loop's losses are scaled: one that accumulates gradients divides them.

Guard, prompt and dry run compare losses with the objective's. What factor lies between
them is found by calling the objective once on the first batch that is seen, with the
weights and the random numbers that the loop had for it.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any

import torch

from dux_agent.arguments import loss_value
from dux_agent.asking.looking import CallersFunctions
from dux_agent.live.snapshot import clones
from dux_sandbox.random_state import RandomState

log = logging.getLogger(__name__)

_TOLERANCE = 1e-3
_MOST_BATCHES = 512  # neighbours of 1/n are closer than the tolerance beyond that
# Where the first batch was drawn with random numbers that nobody saw, the second was
# not: a loop without data augmentation goes from a loss right to the next forward pass.
_ATTEMPTS = 3
_STEPS_WATCHED = 100


class LossScale:
    """Finds the factor once, and divides by it.

    Attributes:
        value: loss of the loop / value of the objective; None until it is known.
    """

    def __init__(
        self, functions: CallersFunctions, parameters: list[torch.Tensor]
    ) -> None:
        """Watch from now on: no loss was computed yet that will be told of."""
        self.value: float | None = None
        self._functions = functions
        self._parameters = parameters
        self._attempts = 0
        self._steps = 0
        self._random: RandomState | None = RandomState.take()
        self._before: tuple[RandomState | None, list[torch.Tensor]] | None = None

    def forward_may_begin(self) -> None:
        """A step was taken, a loss told of, or gradients were zeroed."""
        if self.value is None:
            self._random = RandomState.take()

    def step_begins(self) -> None:
        """Keep what the losses of this step were computed with."""
        if self.value is None and self._steps < _STEPS_WATCHED:
            self._steps += 1
            self._before = (self._random, clones(self._parameters))

    def given(self, scale: float) -> None:
        """The loop says what it is."""
        self.value, self._before = scale, None

    def of(self, loss: float, batch: Any, *, before_step: bool) -> float:
        """The factor by which this loss is to be divided.

        Args:
            loss: as the loop tells it.
            batch: what it is of; None: nothing can be found out from it.
            before_step: it was computed before the step that was just taken.
        """
        if self.value is not None:
            return self.value
        if batch is None or not math.isfinite(loss):
            self._before = None
            return 1.0
        kept = self._before if before_step else (self._random, None)
        self._before = None
        if kept is None:
            return 1.0
        ratio = self._ratio(loss, batch, *kept)
        if ratio is None:
            return 1.0
        self._attempts += 1
        batches = round(1 / ratio) if 0 < ratio < 2 and ratio > 1e-6 else 0
        known = 1 <= batches <= _MOST_BATCHES
        if known and abs(ratio * batches - 1) <= _TOLERANCE:
            self.value = 1 / batches
        elif self._attempts >= _ATTEMPTS:
            self.value = 1.0
            log.warning(
                "a loss of %.6g was observed where the objective gives %.6g on the "
                "same batch; 1/n of it was expected, n batches being accumulated; it "
                "is taken as the objective's own (scale=1); pass agent.observe(loss, "
                "batch, scale=...) with loss = scale * objective.",
                loss,
                loss / ratio,
            )
        return 1.0 if self.value is None else self.value

    def _ratio(
        self,
        loss: float,
        batch: Any,
        random: RandomState | None,
        weights: list[torch.Tensor] | None,
    ) -> float | None:
        """`loss` as a multiple of the objective's; None where there is none."""
        known = None
        if weights is not None:
            known = dict(zip(map(id, self._parameters), weights, strict=True))
        try:
            found = self._functions.objective_on_a_copy(batch, known, random)
            expected = loss_value(found)
        # The caller's own. Once an objective was seen to be sound this is no reason to
        # end a training: a decision will raise it where it can be mended.
        except Exception as error:
            if not self._functions.objective_checked:
                raise
            log.debug("the objective cannot be compared with a loss: %s", error)
            return None
        if not math.isfinite(expected) or expected == 0:
            return None
        return loss / expected

    def state_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"scale": self.value}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave; of what is not in it nothing is known."""
        self.value = state.get("scale")
        self._before = None
