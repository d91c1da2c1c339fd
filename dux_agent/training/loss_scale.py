"""How a loop's losses are scaled: one that accumulates gradients divides them.

Guard, prompt and dry run compare losses with the objective's. What factor lies between
them is found by calling the objective once on the first batch that is seen, with the
weights and the random numbers that the loop had for it.
"""

import logging
import math
from collections.abc import Mapping
from typing import Any

import torch

from dux_agent.live.snapshot import clones, unless_crowded
from dux_agent.training.looking import CallersFunctions
from dux_sandbox.random_state import RandomState
from dux_sandbox.scalar_loss import scalar_loss

log = logging.getLogger(__name__)

_TOLERANCE = 1e-3
_MOST_BATCHES = 512  # neighbours of 1/n are closer than the tolerance beyond that
# Where the first batch was drawn with random numbers that nobody saw, the second was
# not: a loop without data augmentation goes from a loss right to the next forward pass.
_ATTEMPTS = 3
# No 1/n lies in here but 1: where ratios differ the loss is the objective's own, moved
# a little by what a model keeps of its last batch, or by another optimizer's step.
_ITS_OWN = (0.75, 1.33)
_STEPS_WATCHED = 100
# Random numbers are a third of a millisecond a step: a loop that shows no batch for so
# many steps is not watched until it does, and then for twice as many.
_PATIENCE = 8


class LossScale:
    """Finds the factor once, and divides by it.

    Attributes:
        value: loss of the loop / value of the objective; None until it is known.
        weight: what the loop multiplies the objective with before its backward pass,
            where gradients of one batch were seen; None where they were not.
    """

    def __init__(
        self, functions: CallersFunctions, parameters: list[torch.Tensor]
    ) -> None:
        """Watch from now on: no loss was computed yet that will be told of."""
        self.value: float | None = None
        self.weight: float | None = None
        self._functions = functions
        self._parameters = parameters
        mine = set(map(id, parameters))
        trained = (each for each in functions.model.parameters() if each.requires_grad)
        # Weights of another optimizer's are not kept, and may move before the look.
        self._others_move = any(id(each) not in mine for each in trained)
        self._ratios: list[float] = []
        self._steps = 0
        self._patience, self._unshown = _PATIENCE, 0  # steps without a batch
        self._random: RandomState | None = RandomState.take()
        self._before: tuple[RandomState | None, list[torch.Tensor]] | None = None

    @property
    def watches(self) -> bool:
        """Whether it keeps what a forward pass may begin with."""
        return self.value is None and self._unshown < self._patience

    def forward_may_begin(self) -> None:
        """A step was taken, a loss told of, or gradients were zeroed."""
        if self.watches:
            self._random = RandomState.take()

    def step_begins(self) -> None:
        """Keep what the losses of this step were computed with."""
        self._unshown += 1
        if self.watches and self._steps < _STEPS_WATCHED:
            self._steps += 1
            weights = unless_crowded(
                lambda: clones(self._parameters), "the weights of one step once more"
            )
            if weights is None:
                self._steps = _STEPS_WATCHED
            else:
                self._before = (self._random, weights)

    def given(self, scale: float) -> None:
        """The loop says what it is."""
        self.value, self._before = scale, None

    def of(self, loss: Any, batch: Any, *, before_step: bool) -> float:
        """The factor by which this loss is to be divided.

        Args:
            loss: as the loop tells it; not read once the factor is known.
            batch: what it is of; None: nothing can be found out from it.
            before_step: it was computed before the step that was just taken.
        """
        if self.value is not None:
            return self.value
        if batch is None:
            self._before = None
            return 1.0
        watched, self._unshown = self.watches, 0
        if not watched:
            self._patience *= 2
        loss = float(scalar_loss(loss))
        if not watched or not math.isfinite(loss):
            self._before = None
            return 1.0
        kept = self._before if before_step else (self._random, None)
        self._before = None
        if kept is None:
            return 1.0
        ratio = self._ratio(loss, batch, *kept)
        if ratio is None:
            return 1.0
        self._ratios.append(ratio)
        share = one_of_n(ratio)
        if share is not None:
            self.value = share
        elif len(self._ratios) >= _ATTEMPTS:
            self.value = 1.0
            log.log(
                logging.INFO if self._only_moved() else logging.WARNING,
                "a loss of %.6g was observed where the objective gives %.6g on the "
                "same batch; 1/n of it was expected, n batches being accumulated; it "
                "is taken as the objective's own (scale=1); pass agent.observe(loss, "
                "batch, scale=...) with loss = scale * objective.",
                loss,
                loss / ratio,
            )
        return 1.0 if self.value is None else self.value

    def _only_moved(self) -> bool:
        if self._others_move:
            return True
        least, most = min(self._ratios), max(self._ratios)
        apart = most - least > _TOLERANCE * abs(most)
        return apart and _ITS_OWN[0] < least and most < _ITS_OWN[1]

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
        # Before its step the gradients of this batch may be there to be compared too.
        gradients: dict[int, torch.Tensor] | None = {} if weights is None else None
        try:
            found = self._functions.objective_on_a_copy(batch, known, random, gradients)
            expected = float(scalar_loss(found))
        # The caller's own. Once an objective was seen to be sound this is no reason to
        # end a training: a decision will raise it where it can be mended.
        except Exception as error:
            if not self._functions.objective_checked:
                raise
            log.debug("the objective cannot be compared with a loss: %s", error)
            return None
        if not math.isfinite(expected) or expected == 0:
            return None
        if gradients:
            self.weight = self._weight(gradients)
        return loss / expected

    @torch.no_grad()
    def _weight(self, gradients: Mapping[int, torch.Tensor]) -> float | None:
        """The loop's gradients as a multiple of these; None where they are not."""
        pairs = [
            (each.grad.flatten().double(), gradients[id(each)].flatten().double())
            for each in self._parameters
            if each.grad is not None
            and each.grad.layout is torch.strided
            and id(each) in gradients
        ]
        square = sum(float(other.dot(other)) for _, other in pairs)
        if not square:
            return None
        ratio = sum(float(one.dot(other)) for one, other in pairs) / square
        apart = sum(float((one - ratio * other).square().sum()) for one, other in pairs)
        if not apart <= (_TOLERANCE * ratio) ** 2 * square:
            return None  # of other batches too, clipped, or scaled
        return one_of_n(ratio)

    def state_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"scale": self.value, "weight": self.weight}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave; of what is not in it nothing is known.

        Raises:
            ValueError: it is no number.
        """
        value, weight = (_factor(state.get(name)) for name in ("scale", "weight"))
        self.value, self.weight = value, weight
        self._before, self._unshown = None, 0


def _factor(value: Any) -> float | None:
    if value is None or (type(value) is float and math.isfinite(value)):
        return value
    raise ValueError(f"a factor of the loss is {str(value)[:40]!r}")


def one_of_n(ratio: float) -> float | None:
    """The 1/n that a ratio is within a thousandth; None where it is none.

    >>> one_of_n(0.24999), one_of_n(0.3), one_of_n(1.0)
    (0.25, None, 1.0)
    """
    count = round(1 / ratio) if 1e-6 < ratio < 2 else 0
    if 1 <= count <= _MOST_BATCHES and abs(ratio * count - 1) <= _TOLERANCE:
        return 1 / count
    return None
