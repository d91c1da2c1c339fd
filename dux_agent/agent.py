"""The agent: watches a training, asks for rules, and puts them behind its optimizer."""

from __future__ import annotations

import copy
from collections import Counter, deque
from collections.abc import Mapping
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import nn

from dux_agent import arguments
from dux_agent.asking.building import Builder
from dux_agent.asking.chronicle import Chronicle
from dux_agent.asking.deciding import Decider
from dux_agent.asking.guarding import go_on_guarding, guard_run
from dux_agent.asking.intake import Intake
from dux_agent.asking.looking import CallersFunctions, kept_batches
from dux_agent.asking.loop import Loop
from dux_agent.asking.structure import describe_model, describe_optimizer
from dux_agent.asking.watch import Watch
from dux_agent.decisions import Budget, Decision
from dux_agent.errors import BadArgument
from dux_agent.live.checkpoint import copy_of
from dux_agent.live.guard_state import pack_guard, restore_guard
from dux_agent.live.optimizer import DuxOptimizer
from dux_agent.live.run_guard import RunGuard
from dux_agent.live.saved_checkpoint import refused
from dux_agent.live.uncopied import Uncopied
from dux_agent.record.recorder import Recorder
from dux_agent.settings import Settings
from dux_agent.showing import named
from dux_sandbox.random_state import RandomState
from dux_sandbox.trying.scratch import made_for_a_trial

if TYPE_CHECKING:
    from langchain_core.language_models.chat_models import BaseChatModel
    from langgraph.checkpoint.base import BaseCheckpointSaver


class Agent(Uncopied):
    """Made by `attach`; a context manager.

    Attributes:
        optimizer: the live optimizer; its identity never changes.
        model: the module that is trained.
        decisions: every `Decision` so far; one whose rule is rolled back changes to
            "rolled_back".
        step_count: optimizer steps observed since the run began.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        settings: Settings,
        *,
        chats: tuple[BaseChatModel, BaseChatModel | None] | None,
        budget: Budget,
        recorder: Recorder,
        checkpointer: BaseCheckpointSaver[Any] | None,
        guard_steps: int,
    ) -> None:
        """For `attach`; use that."""
        self.model = model
        self.settings = settings
        self.decisions: list[Decision] = []
        self._builder = Builder(settings)
        self.optimizer = DuxOptimizer(
            optimizer, model=model, build=self._builder.build, guard_steps=guard_steps
        )
        self._watch = Watch(
            seed=settings.seed, expected=settings.every or settings.steps_per_epoch
        )
        self._batches: deque[Any] = deque(maxlen=settings.dry_run_steps)
        self._recorder = recorder
        self._closed: str | None = None
        functions = CallersFunctions(settings, model, self.optimizer)
        intake = Intake(functions, self.optimizer)
        self._run_guard: RunGuard | None = None
        self._decider = Decider(
            settings,
            self.optimizer,
            model,
            watch=self._watch,
            batches=self._batches,
            intake=intake,
            functions=functions,
            decisions=self.decisions,
            chronicle=Chronicle(settings.history, settings.history_characters),
            chats=chats,
            budget=budget,
            recorder=recorder,
            checkpointer=checkpointer,
            builder=self._builder,
            described=(
                describe_model(model),
                describe_optimizer(
                    type(optimizer).__name__,
                    optimizer.param_groups,
                    optimizer.defaults,
                ),
            ),
        )
        if chats is None:
            self._run_guard = guard_run(
                self.optimizer,
                model,
                settings,
                guard_steps=guard_steps,
                watch=self._watch,
                recorder=recorder,
            )
            intake.scale.given(1.0)  # its bounds are taken from the same losses
        self._loop = Loop(
            settings,
            self.optimizer,
            intake,
            watch=self._watch,
            batches=self._batches,
            recorder=recorder,
            decider=self._decider,
        )
        self.optimizer.guard.on_rollback = self._decider.rolled_back
        self.optimizer.listener = self._loop
        self.optimizer.on_replaced = self._tell_of_replaced
        self.optimizer.guard.on_outgrown = partial(
            self._decider.rolled_back, harmful=False
        )

    @property
    def step_count(self) -> int:
        """Optimizer steps observed since the run began."""
        return self._watch.step

    @property
    def rollbacks(self) -> int:
        """How often the run of the base optimizer went back, with `lm=None`."""
        return 0 if self._run_guard is None else self._run_guard.rollbacks

    def observe(
        self, loss: Any, batch: Any = None, *, scale: float | None = None
    ) -> None:
        """Tell the agent of a step: its loss, and the batch for later dry runs.

        Call it after `optimizer.step()`. Cheap; it decides when `every` is due. A loop
        that accumulates gradients may call it for every batch: losses between two
        steps are averaged, steps are counted where the optimizer takes them.

        Args:
            loss: a scalar tensor or a number.
            batch: what `objective` takes; the last `dry_run_steps` are kept as they
                are. None keeps nothing.
            scale: loss = scale * objective, as where a loop divides its losses by the
                number of batches it accumulates. None: found by calling the objective
                once, on the first batch; see docs/loops.md.

        Raises:
            BadArgument: the loss is no scalar, or the scale not above 0.
            TrainingDiverged: without a language model, when no rollback is left.
        """
        self._require_open()
        if scale is not None:
            arguments.check_scale(scale)
        self._loop.observe(arguments.loss_value(loss), batch, scale)

    def decide(self) -> Decision:
        """Ask the model once, now; see `Decision` for what may come of it.

        With `background=True` the decision is made while training goes on: what is
        returned says so, and becomes the real one when it is over.

        Raises:
            BadArgument: the objective or the model turns out to be unusable.
            Whatever `objective`, `validate` or `clone` raise.
        """
        self._require_open()
        return self._loop.decide()

    def step(self, batch: Any) -> torch.Tensor:
        """One step of training on `batch`; returns its loss, detached.

        Raises:
            BadArgument: the objective returned no scalar tensor.
        """
        self._require_open()
        self._loop.intake.scale.given(1.0)
        self.optimizer.zero_grad()
        loss = self.settings.objective(self.model, batch)
        if not isinstance(loss, torch.Tensor):
            raise BadArgument(
                f"the objective returned a {type(loss).__name__}; a scalar tensor was "
                f"wanted; return the loss before .item()."
            )
        arguments.loss_value(loss)
        loss.backward()
        self.optimizer.step()
        self.observe(loss, batch, scale=1.0)
        return loss.detach()

    def state_dict(self) -> dict[str, Any]:
        """Everything to go on from, but for the model's own weights: plain data.

        Take it between two steps and save it beside `model.state_dict()`. The last
        batches are in it where they are made of tensors and plain values and come to
        no more than 64 MiB: a decision right after a load tries rules on them. So are
        the random numbers of the process (torch, Python, NumPy), in 20 kB.
        """
        run = self._run_guard
        return {
            "version": 1,
            "optimizer": copy_of(self.optimizer.state_dict()),
            "watch": self._watch.state_dict(),
            "loop": self._loop.state_dict(),
            "batches": kept_batches(self._batches),
            "guard": pack_guard(self.optimizer),
            "run_guard": None if run is None else run.state_dict(),
            "rates": [trail.state_dict() for trail in self.optimizer.trails],
            "random": RandomState.take().state_dict(),
            "trace": self._recorder.position,
            **self._decider.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave, in this process or another.

        Load the model's weights first. With the run folder of the run that died
        (`run_dir=RunFolder.open(DIR)`) replies that were paid are used again, and what
        is recorded already is not recorded twice. The random numbers of the process go
        on from there too: seed them after this where others are wanted.

        Raises:
            CheckpointRefused: its source was tampered with; nothing was changed.
            RunFolderUnusable: the run folder is another run's.
        """
        self._require_open()
        try:
            random = RandomState.of(state.get("random", {}))
        except ValueError as error:
            raise refused(str(error)) from None
        self._recorder.go_on_from(state.get("trace"))
        self.optimizer.load_state_dict(state["optimizer"])
        restore_guard(self.optimizer, state.get("guard"))
        if self._run_guard is not None:
            go_on_guarding(self._run_guard, state.get("run_guard"))
        for trail, kept in zip(
            self.optimizer.trails, state.get("rates", ()), strict=False
        ):
            trail.load_state_dict(kept)
        self._watch.load_state_dict(state["watch"])
        self._loop.load_state_dict(state.get("loop", {}))
        self._batches.clear()
        self._batches.extend(copy.deepcopy(state["batches"]))
        self._decider.load_state_dict(state)
        random.restore()

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed is not None

    def __repr__(self) -> str:
        rule = self.optimizer.running
        name = named(rule.source, rule.digest) or type(self.optimizer.base).__name__
        count = sum(parameter.numel() for parameter in self.model.parameters())
        verdicts = Counter(decision.verdict for decision in self.decisions)
        counts = ", ".join(f"{number} {each}" for each, number in verdicts.items())
        where: str = self.settings.execution
        told = f"decisions: {counts or 'none'}"
        if self._run_guard is not None:
            where, told = "no language model", f"rollbacks: {self.rollbacks}"
        return (
            f"<Agent of {type(self.model).__name__} with {count:,} weights: step "
            f"{self.step_count}, live {name} ({where}), {told}"
            f"{', closed' if self.closed else ''}>"
        )

    def close(self, because: str = "") -> None:
        """End threads and processes.

        Can be called twice. A decision that is still being made is dropped.

        Args:
            because: told to whoever uses the agent afterwards.
        """
        if self.closed:
            return
        self._closed = because
        self._decider.close()
        self.optimizer.close()
        self.optimizer.listener = None
        self._recorder.close()

    def __deepcopy__(self, memo: dict[Any, Any]) -> Self | None:
        """Itself in a copy for a dry run; None in any other copy of what holds it.

        A module may keep its agent, and the copy that an average of weights is made of
        has none.

        Raises:
            TypeError: the agent itself was to be copied.
        """
        nested = memo and not made_for_a_trial(memo)
        return None if nested else super().__deepcopy__(memo)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _tell_of_replaced(self, message: str) -> None:
        self._recorder.event(
            "error",
            step=self._watch.step,
            decision=None,
            data={"error": "replaced", "message": message},
        )

    def _require_open(self) -> None:
        if self._closed is not None:
            why = f": {self._closed}" if self._closed else ""
            raise BadArgument(
                f"the agent is closed{why}; an open one was wanted; attach a new one, "
                f"or close it after the last step."
            )
