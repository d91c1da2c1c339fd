"""What a training tells of itself: epochs, decisions between them, where it is now."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import StrictFloat, StrictInt

from dux_agent.run_folder.trace import Event
from dux_agent.showing import html_table

if TYPE_CHECKING:
    from dux_agent.deciding.plan import DecisionPlan
    from dux_agent.decisions import Decision

Arm = Literal["agent", "control"]


@dataclass(frozen=True)
class Epoch:
    """The losses of one epoch.

    Attributes:
        number: counted from 1.
        train: mean of the mini-batch losses, each before the step on its batch.
        val: mean over the validation split after the epoch.
        test: mean over the test split after the epoch; never shown to a model.
        seconds: wall time of the training steps, without decisions, seconds.
    """

    number: StrictInt
    train: StrictFloat
    val: StrictFloat
    test: StrictFloat
    seconds: StrictFloat


@dataclass(frozen=True)
class BestEpoch:
    """The weights of the best validation of a run.

    Attributes:
        step: optimizer steps that were taken before it.
        val: its validation loss.
        test: mean over the test split with those weights.
    """

    step: int
    val: float
    test: float


@dataclass(frozen=True)
class Change:
    """One decision between two epochs, with what training made of it.

    Attributes:
        after_epoch: how many epochs were over when it was made.
        decision: the agent's own record.
        before: validation loss after the last of those; None when there was none.
        after: validation loss after the next epoch.
    """

    after_epoch: int
    decision: Decision
    before: float | None
    after: float


@dataclass(frozen=True)
class Progress:
    """What the loop is doing now, for whoever watches it.

    Attributes:
        kind: "plan" before the first step, "step" after a training step, "epoch" after
            an epoch, "event" when the trace got an event.
        course: "control" while the base optimizer trains alone, else "agent".
        epoch, epochs: the one in progress, counted from 1, and how many there are.
        step, steps: within the epoch.
        loss: of the last step.
        event: the trace's event where `kind` is "event".
        cost: what a decision and the run's calls may cost, where `kind` is "plan".
    """

    kind: Literal["plan", "step", "epoch", "event"]
    course: Arm
    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float = math.nan
    event: Event | None = None
    cost: DecisionPlan | None = None


@dataclass(frozen=True)
class Result:
    """A finished run.

    Attributes:
        task, seed: what was trained.
        model_name: the language model that was asked, as `dux run --lm` names it.
        epochs: the run with the agent.
        control: the same training with the base optimizer alone, if it was asked for.
        changes: the decisions, in order.
        run_dir: the run folder, or None when none was wanted.
        seconds: wall time of everything, seconds.
        best: with `keep_best`: the best validation, and the test loss of its weights.
        dropped: a decision was still being made in the background at the end.
    """

    task: str
    seed: int
    model_name: str
    epochs: tuple[Epoch, ...]
    control: tuple[Epoch, ...] | None
    changes: tuple[Change, ...]
    run_dir: Path | None
    seconds: float
    best: BestEpoch | None = None
    dropped: bool = False

    def _repr_html_(self) -> str:
        headings = ("epoch", "train", "val", "test", "test of the control")
        control = self.control or ()
        rows: list[tuple[object, ...]] = [headings if control else headings[:-1]]
        for index, each in enumerate(self.epochs):
            losses = [each.train, each.val, each.test]
            losses += [other.test for other in control[index : index + 1]]
            rows.append((each.number, *(f"{loss:.4f}" for loss in losses)))
        return html_table(rows)


@dataclass
class ProgressReporter:
    """Hands on what happens, with where the loop is at the moment."""

    listener: Callable[[Progress], None] | None
    epochs: int
    steps: int
    course: Arm = "agent"
    epoch: int = 1
    step: int = 0
    loss: float = field(default=math.nan)

    def tell(
        self,
        kind: Literal["plan", "step", "epoch", "event"],
        event: Event | None = None,
        cost: DecisionPlan | None = None,
    ) -> None:
        if self.listener is not None:
            epoch, step = (self.epoch, self.epochs), (self.step, self.steps)
            self.listener(
                Progress(kind, self.course, *epoch, *step, self.loss, event, cost)
            )

    def hear(self, event: Event) -> None:
        self.tell("event", event)
