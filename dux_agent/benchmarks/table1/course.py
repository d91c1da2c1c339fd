"""What one training came to, epoch by epoch, and what it cost; and how it is run."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch.linalg import LinAlgError  # type: ignore[attr-defined]

from dux_agent.run_folder.recorder import Recorder
from dux_agent.run_folder.run_checkpoint import Keeper
from dux_agent.runs.epoch_loop import EpochLoop, Position
from dux_agent.runs.progress import Epoch, ProgressReporter
from dux_agent.tasks.protocol import Task

Step = Callable[[Any], float]
"""One step of a training on a batch; gives its loss."""
Begin = Callable[[Task], Step]
"""Makes the step of a training: batch to loss."""


@dataclass(frozen=True)
class Course:
    """What one row of a table came to from one seed.

    Attributes:
        train, val, test: mean losses by epoch; NaN from where it diverged.
        trainings: whole ones that it cost.
        gradients: gradient evaluations, those of dry runs too.
        seconds: wall time.
        calls, tokens: of a language model.
        money: dollars; None where a price or the tokens are not known.
        chosen: what a search has chosen, in words.
    """

    train: tuple[float, ...]
    val: tuple[float, ...]
    test: tuple[float, ...]
    gradients: int
    seconds: float
    trainings: int = 1
    calls: int = 0
    tokens: int = 0
    money: float | None = 0.0
    chosen: str = ""

    def as_row(self) -> dict[str, Any]:
        """Plain data, as a kept row holds it."""
        held = asdict(self)
        for name in ("train", "val", "test"):
            held[name] = [x if math.isfinite(x) else None for x in held[name]]
        return held

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> Course:
        """The course that `as_row` gave."""
        held = dict(row)
        for name in ("train", "val", "test"):
            held[name] = tuple(math.nan if x is None else x for x in row[name])
        return cls(**held)

    def costing(self, others: Iterable[Course], chosen: str = "") -> Course:
        """It with the cost of several, of which it was chosen."""
        paid = list(others)
        return replace(
            self,
            trainings=sum(each.trainings for each in paid),
            gradients=sum(each.gradients for each in paid),
            seconds=math.fsum(each.seconds for each in paid),
            chosen=chosen,
        )


class Training:
    """A training that goes on epoch by epoch, as those of `dux run` do.

    Attributes:
        task: what is trained.
        epochs: those that are over.
    """

    def __init__(self, task: Task, step: Step) -> None:
        """Nothing is trained yet."""
        self.task, self._step = task, step
        self._here, self._seconds = Position(), 0.0

    @property
    def epochs(self) -> list[Epoch]:
        """Those that are over."""
        return self._here.done

    def run(self, epochs: int | None = None) -> Course:
        """Go on to the end of so many epochs, the task's own at the end.

        Where a decomposition fails on what is no number the training has diverged.
        """
        here, epochs = self._here, epochs or self.task.epochs
        began = time.monotonic()
        try:
            EpochLoop(
                task=self.task,
                epochs=epochs,
                scope="control",
                step=self._step,
                watch=ProgressReporter(None, epochs, self.task.steps_per_epoch),
                recorder=Recorder(None, owned=False),
                keeper=Keeper(None, dict),
                position=here,
            ).run()
        except LinAlgError:
            lost = (math.nan, math.nan, math.nan, 0.0)
            here.done += [Epoch(n, *lost) for n in range(here.epoch, epochs + 1)]
            here.epoch, here.losses = epochs + 1, []
        self._seconds += time.monotonic() - began
        gradients = len(here.done) * self.task.steps_per_epoch
        return course_of(here.done, gradients=gradients, seconds=self._seconds)


def course_of(epochs: Sequence[Epoch], *, gradients: int, seconds: float) -> Course:
    """The course of epochs."""
    return Course(
        train=tuple(each.train for each in epochs),
        val=tuple(each.val for each in epochs),
        test=tuple(each.test for each in epochs),
        gradients=gradients,
        seconds=seconds,
    )


def stepping(
    task: Task,
    *optimizers: torch.optim.Optimizer,
    after: Callable[[], object] = lambda: None,
) -> Step:
    """A step of plain training with these optimizers, and then `after`."""

    def step(batch: Any) -> float:
        for each in optimizers:
            each.zero_grad()
        loss = task.objective(task.model, batch)
        loss.backward()
        for each in optimizers:
            each.step()
        after()
        return loss.item()

    return step
