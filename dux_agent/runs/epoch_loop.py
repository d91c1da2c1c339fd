"""One course of a training, epoch by epoch, from its beginning or from the middle."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

from pydantic import StrictBool, StrictFloat, StrictInt, TypeAdapter

from dux_agent.errors import BadArgument
from dux_agent.run_folder.events import LossEvent, Scope
from dux_agent.run_folder.recorder import Recorder
from dux_agent.run_folder.run_checkpoint import Keeper
from dux_agent.runs.progress import Epoch, ProgressReporter
from dux_agent.tasks.protocol import check_loss
from dux_graphs.read_back import read_back
from dux_sandbox.random_state import RandomState

if TYPE_CHECKING:
    from dux_agent.tasks.protocol import Task

Step = Callable[[Any], float]


@dataclass
class Position:
    """How far a course has come; changes as it goes on.

    Attributes:
        epoch: the one in progress, counted from 1; one more than there are at the end.
        decided: the decision before this epoch has been made.
        losses: of the steps of this epoch so far.
        seconds: wall time of those steps, seconds.
        done: the epochs that are over.
        over: decision by decision, how many epochs were over when it was made.
    """

    epoch: StrictInt = 1
    decided: StrictBool = False
    losses: list[StrictFloat] = field(default_factory=list)
    seconds: StrictFloat = 0.0
    done: list[Epoch] = field(default_factory=list)
    over: list[StrictInt] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Its fields by name, as a checkpoint holds them."""
        return asdict(self)

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Position:
        """What `as_dict` gave.

        Raises:
            ValueError: it was not given by it; a checkpoint may be anybody's.
        """
        here = read_back(_POSITION, data)
        over = len(here.done)
        if here.epoch != over + 1 or not all(0 <= each <= over for each in here.over):
            raise ValueError("its position is none of a run")
        return here


_POSITION: TypeAdapter[Position] = TypeAdapter(Position)


@dataclass
class EpochLoop:
    """The loop over epochs that the agent's and the control's training share.

    Attributes:
        task: what is trained.
        epochs: how many.
        scope: "epoch" or "control", as the trace calls its losses.
        step: one training step on a batch; returns its loss.
        watch: hears of every step and epoch.
        recorder: where epochs are recorded, if anywhere.
        keeper: writes checkpoints.
        position: where it begins, and is.
        random: the random numbers at that place; None at the beginning.
        decide: asks for a rule, before every epoch but the first; None: nobody asks.
        decisions: how many there are so far.
    """

    task: Task
    epochs: int
    scope: Scope
    step: Step
    watch: ProgressReporter
    recorder: Recorder
    keeper: Keeper
    position: Position
    random: RandomState | None = None
    decide: Callable[[], object] | None = None
    decisions: Callable[[], int] = lambda: 0

    def run(self) -> None:
        """Go on to the end; `position` holds the epochs then."""
        here = self.position
        if self.random is not None and not here.losses:
            self.random.restore()
        while here.epoch <= self.epochs:
            self.watch.epoch, self.watch.step = here.epoch, len(here.losses)
            if self.decide is not None and here.epoch > 1 and not here.decided:
                # A call to a language model takes as long as it takes, and whatever
                # ends a run is likely to do it then.
                self.keeper.now()
                self.decide()
                here.decided = True
                self.keeper.now()
            self._epoch()

    def _epoch(self) -> None:
        """The steps that are left of one epoch, then both evaluations."""
        here, watch = self.position, self.watch
        began, before = time.monotonic(), here.seconds
        for batch in self._batches():
            self._count(ok=len(here.losses) < self.task.steps_per_epoch)
            decisions = self.decisions()
            here.losses.append(self.step(batch))
            watch.step, watch.loss = len(here.losses), here.losses[-1]
            watch.tell("step")
            here.seconds = before + time.monotonic() - began
            if self.decisions() != decisions:
                self._count_decisions()
                self.keeper.now()
            else:
                self.keeper.when_due()
        self._count(ok=len(here.losses) == self.task.steps_per_epoch)
        epoch = Epoch(
            number=here.epoch,
            train=math.fsum(here.losses) / len(here.losses),
            val=check_loss(self.task.evaluate("val"), "val"),
            test=check_loss(self.task.evaluate("test"), "test"),
            seconds=here.seconds,
        )
        watch.tell("epoch")
        self._count_decisions()
        self._record(epoch)
        here.done.append(epoch)
        here.epoch, here.decided = here.epoch + 1, False
        here.losses, here.seconds = [], 0.0

    def _batches(self) -> Iterator[Any]:
        """The batches that are left of this epoch, with the random numbers of then."""
        here = self.position
        batches = iter(self.task.train_batches(here.epoch - 1))
        if here.losses:
            # The order of the batches is drawn at the first of them.
            for _ in islice(batches, len(here.losses)):
                pass
            if self.random is not None:
                self.random.restore()
        self.random = None
        return batches

    def _count(self, *, ok: bool) -> None:
        """Refuse an epoch of another length than the task says, also an endless one."""
        wanted, trained = self.task.steps_per_epoch, len(self.position.losses)
        if not ok:
            found = "more" if trained >= wanted else str(trained)
            raise BadArgument(
                f"train_batches({self.position.epoch - 1}) of the task gave {found} "
                f"batches; {wanted} were wanted, since steps_per_epoch is {wanted}; "
                f"make the two agree."
            )

    def _count_decisions(self) -> None:
        here = self.position
        here.over += [here.epoch - 1] * (self.decisions() - len(here.over))

    def _record(self, epoch: Epoch) -> None:
        means = LossEvent(
            scope=self.scope,
            epoch=epoch.number,
            loss=epoch.train,
            val=epoch.val,
            test=epoch.test,
            seconds=epoch.seconds,
        )
        self.recorder.tell(means, step=epoch.number * self.task.steps_per_epoch)
