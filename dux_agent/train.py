"""The loop that `dux run`, the demo and the benchmarks share.

The first epoch runs on the base optimizer, then the agent is asked once before each
later epoch, as in the paper: four decisions in five epochs. The agent sees training
losses and the validation split; the test split is measured for people alone.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dux_agent import tasks
from dux_agent.errors import BadArgument
from dux_agent.run_folder import RunFolder
from dux_agent.trace import Event

if TYPE_CHECKING:
    from langchain_core.language_models.chat_models import BaseChatModel

    from dux_agent.agent import Agent
    from dux_agent.decisions import Decision
    from dux_agent.tasks.task import Task

Course = Literal["agent", "control"]


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

    number: int
    train: float
    val: float
    test: float
    seconds: float


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
        kind: "step" after a training step, "epoch" after an epoch, "event" when the
            trace got an event.
        course: "control" while the base optimizer trains alone, else "agent".
        epoch, epochs: the one in progress, counted from 1, and how many there are.
        step, steps: within the epoch.
        loss: of the last step.
        event: the trace's event where `kind` is "event".
    """

    kind: Literal["step", "epoch", "event"]
    course: Course
    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float = math.nan
    event: Event | None = None


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
    """

    task: str
    seed: int
    model_name: str
    epochs: tuple[Epoch, ...]
    control: tuple[Epoch, ...] | None
    changes: tuple[Change, ...]
    run_dir: Path | None
    seconds: float


@dataclass
class _Watch:
    """Hands on what happens, with where the loop is at the moment."""

    listener: Callable[[Progress], None] | None
    epochs: int
    steps: int
    course: Course = "agent"
    epoch: int = 1
    step: int = 0
    loss: float = field(default=math.nan)

    def tell(
        self, kind: Literal["step", "epoch", "event"], event: Event | None = None
    ) -> None:
        if self.listener is not None:
            self.listener(
                Progress(
                    kind,
                    self.course,
                    self.epoch,
                    self.epochs,
                    self.step,
                    self.steps,
                    self.loss,
                    event,
                )
            )

    def hear(self, event: Event) -> None:
        self.tell("event", event)


def train(
    task: str,
    *,
    lm: str | BaseChatModel = "offline",
    epochs: int | None = None,
    seed: int = 0,
    run_dir: str | Path | None = None,
    control: bool = False,
    task_description: str | None = None,
    execution: str = "auto",
    every: int | None = None,
    threads: int = 1,
    on_event: Callable[[Progress], None] | None = None,
) -> Result:
    """Train a task with an agent, and return every figure of it.

    Args:
        task: a name of `dux_agent.tasks.TASKS`.
        lm: the language model, as `dux_agent.attach` takes it.
        epochs: epochs to train; the task's own number (5) when left out.
        seed: of weights, batches, dropout masks and of the agent.
        run_dir: the run folder to make, or None for none.
        control: also train with the base optimizer alone, from the same weights and
            with the same batches, before the run.
        task_description: a few words about the task for the model; None tells none.
        execution: how accepted rules run, as `dux_agent.attach` takes it.
        every: steps between decisions; None asks once before every epoch but the
            first.
        threads: of torch, while this runs. The tasks are small: a second thread gains
            little on mnist and loses on the others, and sums that are split over
            threads differ in their last bits from machine to machine.
        on_event: called with a `Progress` after every step, epoch and trace event.

    The same arguments on the same machine give the same losses to the last bit.

    Raises:
        DuxError: an argument cannot be meant, or data, model, folder cannot be had.
            Nothing has been written then.
        KeyboardInterrupt: handed on after the run folder was closed.
    """
    began = time.monotonic()
    if epochs is not None and epochs < 1:
        raise BadArgument(
            f"epochs is {epochs}; it must be >= 1; leave it out for the task's own."
        )
    with ExitStack() as stack:
        stack.enter_context(torch_threads(threads))
        built = tasks.build(task, seed)
        count = built.epochs if epochs is None else epochs
        chat = _chat_model(lm, seed)
        model_name = lm if isinstance(lm, str) else type(lm).__name__
        watch = _Watch(on_event, count, built.steps_per_epoch)
        folder: RunFolder | None = None
        if run_dir is not None:
            facts = {
                "task": task,
                "seed": seed,
                "model": model_name,
                "arguments": {
                    "epochs": count,
                    "control": control,
                    "task_description": task_description,
                    "execution": execution,
                    "every": every,
                },
            }
            folder = stack.enter_context(RunFolder.create(run_dir, facts))
            folder.subscribe(watch.hear)
        agent = _attach(
            built,
            folder,
            lm=chat,
            task=task_description,
            every=every,
            total_steps=count * built.steps_per_epoch,
            execution=execution,
            seed=seed,
        )
        stack.enter_context(agent)
        control_epochs: tuple[Epoch, ...] | None = None
        if control:
            watch.course = "control"
            control_epochs = _base_alone(tasks.build(task, seed), count, watch, folder)
            watch.course = "agent"
        done, changes = _with_agent(built, agent, count, every, watch, folder)
    return Result(
        task=task,
        seed=seed,
        model_name=model_name,
        epochs=done,
        control=control_epochs,
        changes=changes,
        run_dir=None if folder is None else folder.path,
        seconds=time.monotonic() - began,
    )


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Let torch use that many threads in here, and as many as before afterwards."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _chat_model(lm: str | BaseChatModel, seed: int) -> BaseChatModel:
    """The model itself, before anything is written: a wrong name leaves no trace."""
    from dux_graphs.models import ModelNameError, chat_model

    try:
        return chat_model(lm, seed=seed)
    except ModelNameError as error:
        raise BadArgument(str(error)) from None


def _attach(built: Task, folder: RunFolder | None, /, **options: Any) -> Agent:
    from dux_agent import attach

    try:
        return attach(
            built.model,
            built.base_optimizer(),
            built.objective,
            validate=lambda model: built.evaluate("val", model),
            loss_name=built.loss_name,
            steps_per_epoch=built.steps_per_epoch,
            run_dir=folder,
            **options,
        )
    except BaseException:
        # The folder was made a moment ago and holds nothing of a run yet.
        if folder is not None:
            folder.discard()
        raise


def _base_alone(
    task: Task, epochs: int, watch: _Watch, folder: RunFolder | None
) -> tuple[Epoch, ...]:
    optimizer = task.base_optimizer()

    def step(batch: Any) -> float:
        optimizer.zero_grad()
        loss = task.objective(task.model, batch)
        loss.backward()
        optimizer.step()
        return loss.item()

    done = []
    for number in range(1, epochs + 1):
        done.append(_epoch(task, number, step, watch))
        _record(folder, "control", done[-1], task.steps_per_epoch)
    return tuple(done)


def _with_agent(
    task: Task,
    agent: Agent,
    epochs: int,
    every: int | None,
    watch: _Watch,
    folder: RunFolder | None,
) -> tuple[tuple[Epoch, ...], tuple[Change, ...]]:
    done: list[Epoch] = []
    # Decision by decision how many epochs were over when it was made.
    over: list[int] = []

    def step(batch: Any) -> float:
        return float(agent.step(batch))

    for number in range(1, epochs + 1):
        if number > 1 and every is None:
            watch.epoch, watch.step = number, 0
            agent.decide()
        done.append(_epoch(task, number, step, watch))
        over += [number - 1] * (len(agent.decisions) - len(over))
        _record(folder, "epoch", done[-1], task.steps_per_epoch)
    changes = (
        Change(
            after_epoch=count,
            decision=decision,
            before=done[count - 1].val if count else None,
            after=done[count].val,
        )
        for count, decision in zip(over, agent.decisions, strict=True)
    )
    return tuple(done), tuple(changes)


def _epoch(
    task: Task, number: int, step: Callable[[Any], float], watch: _Watch
) -> Epoch:
    """One epoch of steps, then both evaluations; `number` is counted from 1."""
    watch.epoch, watch.step = number, 0
    losses = []
    began = time.monotonic()
    for batch in task.train_batches(number - 1):
        losses.append(step(batch))
        watch.step, watch.loss = len(losses), losses[-1]
        watch.tell("step")
    seconds = time.monotonic() - began
    epoch = Epoch(
        number=number,
        train=math.fsum(losses) / len(losses),
        val=task.evaluate("val"),
        test=task.evaluate("test"),
        seconds=seconds,
    )
    watch.tell("epoch")
    return epoch


def _record(folder: RunFolder | None, scope: str, epoch: Epoch, steps: int) -> None:
    if folder is None:
        return
    folder.event(
        "loss",
        step=epoch.number * steps,
        data={
            "scope": scope,
            "epoch": epoch.number,
            "loss": epoch.train,
            "val": epoch.val,
            "test": epoch.test,
            "seconds": epoch.seconds,
        },
    )
