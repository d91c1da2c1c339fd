"""The courses of one run, the control's and the agent's, and how they go on."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from dux_agent.errors import RunFolderUnusable
from dux_agent.live.saved_checkpoint import UNREADABLE, CheckpointRefused
from dux_agent.run_folder import run_checkpoint
from dux_agent.run_folder.events import Scope
from dux_agent.run_folder.folder import RunFolder
from dux_agent.run_folder.recorder import Recorder
from dux_agent.runs.epoch_loop import EpochLoop, Position, Step
from dux_agent.runs.plan import Plan
from dux_agent.runs.progress import BestEpoch, Change, ProgressReporter, Result
from dux_sandbox.random_state import RandomState

if TYPE_CHECKING:
    from dux_agent.agent import Agent
    from dux_agent.tasks.protocol import Task


@dataclass(eq=False)
class RunLoop:
    """Runs them one after the other, and keeps checkpoints on the way.

    Attributes:
        plan: what the run is.
        built: its task, which the agent trains.
        agent: attached to it.
        folder: the run folder; None: nothing is recorded.
        watch: hears of every step, epoch and event.
        began: when the run began, seconds of the monotonic clock.
        controls: where the training with the base optimizer alone is.
        agents: where the training with the agent is.
    """

    plan: Plan
    built: Task
    agent: Agent
    folder: RunFolder | None
    watch: ProgressReporter
    began: float

    def __post_init__(self) -> None:
        """Nothing is trained yet."""
        self.controls, self.agents = Position(), Position()
        self._course = "control" if self.plan.control else "agent"
        self._kept: dict[str, Any] | None = None
        self._random: RandomState | None = None
        self._trained: tuple[Task, torch.optim.Optimizer | None] = (self.built, None)
        path = None if self.folder is None else self.folder.path
        self._keeper = run_checkpoint.Keeper(path, self._collect)

    @property
    def seconds(self) -> float:
        """Wall time of the run so far, with what it took before it died, seconds."""
        return time.monotonic() - self.began

    def go_on(self, saved: dict[str, Any], path: Path) -> None:
        """Begin at a checkpoint instead.

        Raises:
            RunFolderUnusable: it does not belong to this run.
            CheckpointRefused: a source in it may not run.
        """
        try:
            self.controls = Position.of(saved["positions"]["control"])
            self.agents = Position.of(saved["positions"]["agent"])
            self._random = RandomState.of(saved["random"])
            self._course = saved["course"]
            self.began -= saved["seconds"]
            if self._course == "agent":
                self.built.model.load_state_dict(saved["model"])
                self.agent.load_state_dict(saved["agent"])
                if len(self.agents.over) > len(self.agent.decisions):
                    raise ValueError("it counts decisions that it does not hold")
            elif self._course == "control" and self.plan.control:
                self._kept = saved
            else:
                raise KeyError(self._course)
        except CheckpointRefused:
            raise
        except UNREADABLE as error:
            said = str(error).split("\n", 1)[0][:120]
            raise RunFolderUnusable(
                f"the checkpoint in {path} is not of this run: {said}; the one that "
                f"the run wrote was wanted; restore it, or take it away to begin again "
                f"with the recorded replies."
            ) from None

    def run(self) -> Result:
        """Go on to the end of the last course; every figure of the run."""
        if self._course == "control":
            self._base_alone()
            self._course, self._random = "agent", None
        self._with_agent()
        plan, done = self.plan, tuple(self.agents.done)
        over = zip(self.agents.over, self.agent.decisions, strict=True)
        best = None
        if plan.keep_best:
            kept = self.agent.restore_best()
            best = BestEpoch(kept.step, kept.loss, self.built.evaluate("test"))
        return Result(
            task=plan.task,
            seed=plan.seed,
            model_name=plan.model,
            epochs=done,
            control=tuple(self.controls.done) if plan.control else None,
            changes=tuple(
                Change(at, each, done[at - 1].val if at else None, done[at].val)
                for at, each in over
            ),
            run_dir=None if self.folder is None else self.folder.path,
            seconds=self.seconds,
            best=best,
            dropped=self.agent.at_work,
        )

    def _base_alone(self) -> None:
        task = self.plan.build()
        optimizer = task.base_optimizer()
        if self._kept is not None:
            task.model.load_state_dict(self._kept["model"])
            optimizer.load_state_dict(self._kept["optimizer"])
            self._kept = None
        self._trained = (task, optimizer)

        def step(batch: Any) -> float:
            optimizer.zero_grad()
            loss = task.objective(task.model, batch)
            loss.backward()
            optimizer.step()
            return loss.item()

        self.watch.course = "control"
        self._go("control", task, self.controls, step)

    def _with_agent(self) -> None:
        agent = self.agent
        if self.agents.epoch > self.watch.epochs:
            return  # it was over before, and nothing in its folder changes
        self._trained = (self.built, None)
        self.watch.course = "agent"
        self._go(
            "epoch",
            self.built,
            self.agents,
            lambda batch: float(agent.step(batch)),
            decide=agent.decide if self.plan.every is None else None,
            decisions=lambda: len(agent.decisions),
        )
        self._keeper.now()

    def _go(
        self, scope: Scope, task: Task, position: Position, step: Step, **asking: Any
    ) -> None:
        EpochLoop(
            task=task,
            epochs=self.watch.epochs,
            scope=scope,
            step=step,
            watch=self.watch,
            recorder=Recorder(self.folder, owned=False),
            keeper=self._keeper,
            position=position,
            random=self._random,
            **asking,
        ).run()

    def _collect(self) -> dict[str, Any]:
        """Everything to go on from, as `run_checkpoint.save` takes it."""
        task, optimizer = self._trained
        folder = self.folder
        return {
            "trace": 0 if folder is None else folder.position,
            "course": self._course,
            "positions": {
                "control": self.controls.as_dict(),
                "agent": self.agents.as_dict(),
            },
            "model": task.model.state_dict(),
            "optimizer": None if optimizer is None else optimizer.state_dict(),
            "agent": self.agent.state_dict(snapshots="all")
            if self._course == "agent"
            else None,
            "random": RandomState.take().state_dict(),
            "seconds": self.seconds,
        }
