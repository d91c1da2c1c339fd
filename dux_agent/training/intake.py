"""What a loop tells of its losses, as one loss for each optimizer step.

A loop may tell a loss for every batch that it accumulates, one a step, or one now and
then; after its step or before it. Losses that belong to one step are averaged, and
steps are counted where they are taken.
"""

import math
import statistics
from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch

from dux_agent.live.optimizer import DuxOptimizer
from dux_agent.training.edges import Marks, backward_since, marked
from dux_agent.training.looking import CallersFunctions
from dux_agent.training.loss_scale import LossScale
from dux_agent.training.whole_model import model_is_sharded
from dux_sandbox.group_shares import number_in
from dux_sandbox.running import parameters_of

_REMEMBERED = 9


class StepLoss(NamedTuple):
    """The loss of one optimizer step, in the objective's own scale.

    Attributes:
        loss: mean over its batches.
        steps: optimizer steps taken since the last one was told of.
    """

    loss: float
    steps: int


class Told(NamedTuple):
    """When a loss was told of; its value may come later.

    Attributes:
        at_edge: the loop stood between two steps: no gradient waited for a step.
        steps: optimizer steps taken since the loss before it was told of.
        scale: loss = scale * objective.
    """

    at_edge: bool
    steps: int
    scale: float


class Intake:
    """Gathers losses until the step they belong to has been taken.

    Attributes:
        scale: how the loop's losses are scaled.
        steps: optimizer steps taken since a loss was last told of one.
    """

    def __init__(self, functions: CallersFunctions, live: DuxOptimizer) -> None:
        """Gather losses of the training that `live` steps."""
        self._live, self._base = live, live.base
        self._functions = functions
        self.scale = LossScale(functions, parameters_of(live.param_groups))
        self._sharded = model_is_sharded(functions.model)
        if self._sharded:
            # One rank may find it where another does not, and neither can look alone.
            self.scale.given(1.0)
        self.steps = 0
        self._sum, self._count = 0.0, 0
        self._marks: Marks = []
        self._smallest_first: list[torch.Tensor] = []
        self._counts: deque[int] = deque(maxlen=_REMEMBERED)

    def step_with(self, batch: Any) -> None:
        """The agent itself is about to step on this batch; see `take` for errors."""
        self._functions.refuse_iterator(batch)
        if not self._sharded:
            self._functions.check_objective(batch)
        self.scale.given(1.0)

    @property
    def accumulated(self) -> int:
        """Batches whose gradients the loop adds up for one step, as it was seen."""
        return statistics.median_low(self._counts) if self._counts else 1

    @property
    def weight(self) -> float:
        """By what the loop multiplies each of their losses before its backward pass.

        What it tells of may be the loss before that, as with Accelerate: where nothing
        was seen of the gradients themselves their mean is taken, as is usual.
        """
        if self.scale.weight is not None:
            return self.scale.weight
        mean, scale = 1 / self.accumulated, self.scale.value or 1.0
        return mean if scale == 1 else max(scale, mean)

    def step_taken(self, *, decision_near: bool) -> bool:
        """The optimizer has stepped; False where that was none, see `_moved_nothing`.

        Args:
            decision_near: the next loss may bring a decision: look closely then.
        """
        own, base = self._live.__dict__, self._base.__dict__
        moved, count = False, 0
        groups = self._base.param_groups  # the same, without a look at schedules
        for group in groups:
            rate = group.get("lr")
            moved = moved or (type(rate) is float and rate != 0)
            count += len(group["params"])
        # Where GradScaler leaves it; to ask by getattr costs as much as all the rest.
        told = not moved or "found_inf" in own or "found_inf" in base
        if told and _moved_nothing(self._live):
            return False
        self.steps += 1
        if self.scale.value is None:
            self.scale.forward_may_begin()
        if count != len(self._smallest_first):
            self._smallest_first = sorted(parameters_of(groups), key=torch.Tensor.numel)
        self._marks = marked(self._smallest_first, every=decision_near)
        return True

    @property
    def waits(self) -> bool:
        """Whether a loss was told of whose step is not over."""
        return self._count > 0

    @property
    def finite(self) -> bool:
        """Whether no loss waits for its step that is not finite."""
        return math.isfinite(self._sum)

    def of_one_step(self, loss: Any, scale: float | None) -> float | None:
        """The value of a step's own loss in the objective's scale.

        None, and nothing was taken, unless it is a scalar on the CPU in the scale of
        those before, and one step is over since the last one.
        """
        known = self.scale.value
        if known is None and not self.scale.watches:
            known = 1.0  # no batch was shown that it could be found on
        if self.steps != 1 or self._count or known is None:
            return None
        if scale is not None and scale != known:
            return None
        if not (isinstance(loss, torch.Tensor) and loss.is_cpu and loss.numel() == 1):
            return None
        if backward_since(self._marks):
            return None
        self.steps, self._marks = 0, []
        self._counts.append(1)
        return loss.item() / known

    def hear(self, loss: Any, batch: Any, scale: float | None) -> Told:
        """The loop tells of one more loss; `take` its value, in the same order.

        Raises:
            BadArgument: with the first batch, as `CallersFunctions.check_objective`;
                nothing was taken. Whatever the objective raises then.
        """
        steps = self.steps
        at_edge = steps > 0 and not backward_since(self._marks)
        if batch is not None:
            self._functions.refuse_iterator(batch)
        if scale is not None:
            self.scale.given(scale)
        elif (scale := self.scale.value) is None:
            scale = self.scale.of(loss, batch, before_step=at_edge)
        # A copy of a sharded model takes as much as all of it: a decision looks then.
        if batch is not None and not (
            self._functions.objective_checked or self._sharded
        ):
            self._functions.objective_on_a_copy(batch)
        if steps:
            self.steps, self._marks = 0, []
        return Told(at_edge, steps, scale)

    def take(self, loss: float, told: Told) -> StepLoss | None:
        """The value of the next loss; that of a whole step where one is complete."""
        value = loss / told.scale
        if told.at_edge or (told.steps and not self._count):
            if not self._count and told.steps == 1:  # as at nearly every step
                self._counts.append(1)
                return StepLoss(value, 1)
            self._add(value)
            return self._close(told.steps)
        done = self._close(told.steps) if told.steps else None
        self._add(value)
        return done

    def _add(self, loss: float) -> None:
        self._sum += loss
        self._count += 1

    def _close(self, steps: int) -> StepLoss:
        done = StepLoss(self._sum / self._count, steps)
        self._counts.append(max(1, round(self._count / steps)))
        self._sum, self._count = 0.0, 0
        return done

    def state_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "sum": self._sum,
            "count": self._count,
            "steps": self.steps,
            "counts": list(self._counts),
            **self.scale.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave; an empty one begins anew."""
        self._sum, self._count = float(state.get("sum", 0)), int(state.get("count", 0))
        self.steps = int(state.get("steps", 0))
        if min(self._count, self.steps) < 0:
            raise ValueError("it counts fewer losses than none")
        counts = [max(1, int(count)) for count in state.get("counts", ())]
        self._counts = deque(counts, maxlen=_REMEMBERED)
        self._marks = []
        self.scale.load_state_dict(state)


def _moved_nothing(live: DuxOptimizer) -> bool:
    """Whether the step that `live` has just taken was none.

    `torch.distributed.checkpoint` steps at a rate of zero on gradients of zero to see
    what the state looks like; a fused optimizer steps over what GradScaler found to be
    infinite.
    """
    found = vars(live).get("found_inf", vars(live.base).get("found_inf"))
    if isinstance(found, torch.Tensor) and bool(found.item()):
        return True
    if any(number_in(group.get("lr")) != 0 for group in live.base.param_groups):
        return False
    gradients = [each.grad for each in parameters_of(live.param_groups)]
    return all(
        each.layout is torch.strided and not bool(each.detach().any())
        for each in gradients
        if each is not None
    )
