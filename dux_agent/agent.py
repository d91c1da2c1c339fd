"""The agent: watches a training, asks for rules, and puts them behind its optimizer."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Literal, Self

import torch

from dux_agent import arguments
from dux_agent.agent_state import AgentState
from dux_agent.deciding.building import Builder
from dux_agent.deciding.decider import Decider
from dux_agent.deciding.guarding import guard_run
from dux_agent.deciding.loop import Loop
from dux_agent.deciding.pace import Pace
from dux_agent.deciding.plan import DecisionPlan, plan_of
from dux_agent.deciding.rules_in_force import RulesInForce
from dux_agent.deciding.searching import Searching
from dux_agent.deciding.together import Together
from dux_agent.decisions import Decision
from dux_agent.errors import BadArgument, TrainingDiverged
from dux_agent.in_notebooks import agent_line, agent_table, show_live
from dux_agent.live.hooks import eager
from dux_agent.live.priming import Primed, source_in
from dux_agent.live.uncopied import Uncopied
from dux_agent.one_entry import OneEntry
from dux_agent.run_folder.recorder import Recorder
from dux_agent.training.best_weights import Best
from dux_agent.training.ranks import Ranks
from dux_agent.training.training import Training
from dux_agent.training.whole_model import model_is_sharded
from dux_graphs.events import ErrorEvent
from dux_sandbox.process.keeping import keep_warm, let_go
from dux_sandbox.scalar_loss import scalar_loss

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver

    from dux_graphs.budget import Budget


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
        training: Training,
        builder: Builder,
        recorder: Recorder,
        *,
        budget: Budget,
        checkpointer: BaseCheckpointSaver[Any] | None,
        searching: Searching,
        ranks: Ranks,
    ) -> None:
        """For `attach`; use that."""
        self._training, self.settings = training, training.settings
        self.model, self.optimizer = training.model, training.live
        self._recorder = recorder
        self._closed: str | None = None
        keep_warm(self)
        asks = bool(searching.asked)
        self._run_guard = None if asks else guard_run(training, recorder)
        self._rules = RulesInForce(training, recorder)
        self.decisions = self._rules.decisions
        self._ranks, together = ranks, Together(ranks, self.optimizer)
        self._decider = Decider(
            training,
            builder,
            self._rules,
            recorder,
            budget=budget,
            checkpointer=checkpointer,
            searching=searching,
            together=together,
        )
        self._loop = Loop(training, recorder, self._decider, together)
        self.optimizer.listener = self._loop
        self.optimizer.on_replaced = self._tell_of_replaced

    @property
    def training(self) -> Training:
        """All that is alive in the training; every loss so far is in its figures."""
        self._loop.settle()
        return self._training

    @property
    def newest_loss(self) -> float | None:
        """The loss that was told of last; None: there was none."""
        return self._loop.newest_loss

    @property
    def step_count(self) -> int:
        """Optimizer steps observed since the run began."""
        return self._loop.step

    @property
    def rollbacks(self) -> int:
        """How often the run of the base optimizer went back, with `lm=None`."""
        return 0 if self._run_guard is None else self._run_guard.rollbacks

    @eager
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
            BadArgument: the loss is no scalar, or the scale not above 0. With the
                first batch: the objective returns no scalar, or gives the model no
                gradient; nothing is counted or recorded then.
            Whatever the objective raises, called once with the first batch.
            TrainingDiverged: without a language model, when no rollback is left.
        """
        if self._closed is not None:
            self._require_open()
        plain = type(scale) is float and 0 < scale <= 1  # as nearly always
        if scale is not None and not plain:
            arguments.check_scale(scale)
        self._loop.observe(loss, batch, scale)

    @eager
    def decide(self) -> Decision:
        """Ask the model once, now; see `Decision` for what may come of it.

        With `background=True` the decision is made while training goes on: what is
        returned says so, and becomes the real one when it is over. Where training has
        gone astray by itself meanwhile, nothing is applied, and its reason says so.

        Raises:
            BadArgument: the objective or the model turns out to be unusable.
            Whatever `objective`, `validate` or `clone` raise.
        """
        self._require_open()
        return self._loop.decide()

    def plan(self) -> DecisionPlan:
        """What a decision will need, as things are now: memory by part, and passes.

        And, where steps and decisions of the run are known, what its calls may cost.

        `print(agent.plan())` shows it. Counted on the tensors themselves: weights that
        share memory count once where a copy shares it too, and frozen weights, which a
        copy uses as they are, not at all. The optimizer's state counts as it is, or as
        its first step will make it.
        """
        decider = self._decider
        return plan_of(
            self.training,
            asks=decider.asks,
            budget=decider.step_budget,
            decisions=self.decisions,
            run=decider.run_cost(),
        )

    def step(self, batch: Any) -> torch.Tensor:
        """One step of training on `batch`; returns its loss, detached.

        Raises:
            BadArgument: the objective returned no scalar tensor.
        """
        self._require_open()
        self._training.intake.step_with(batch)
        self.optimizer.zero_grad()
        loss = self._training.objective(self.model, batch)
        scalar_loss(loss, tensor=True, error=BadArgument)
        loss.backward()
        self.optimizer.step()
        self.observe(loss, batch, scale=1.0)
        return loss.detach()

    def keep_pace(self, pace: Pace | None) -> None:
        """Have background decisions come at the steps of a recorded run; None: freely.

        For a replay, whose model answers at once.
        """
        self._decider.pace = pace

    def restore_best(self) -> Best:
        """Put the weights and buffers with the best validation loss back, in place.

        Those of now are validated first. Needs `keep_best=True`, else BadArgument.
        """
        return self.training.restore_best()

    def state_dict(self, *, snapshots: Literal["all"] | bool = True) -> dict[str, Any]:
        """Everything to go on from, but for the model's own weights.

        Take it between two steps and save it beside `model.state_dict()`. It is plain
        data and tensors, none of them in shared memory: `torch.load` reads it with
        `weights_only=True`. By part, in bytes of the weights W, where optimizer and
        rules keep what Adam keeps:

            optimizer   the live rule: source, options, state             2 W
            guard       what a rollback needs: the incumbent's state      2 W
                        and the last snapshot of weights and buffers      1 W
            batches     the last ones, where they are tensors and plain   64 MiB at
                        values: the next decision tries rules on them     most
            random      random numbers of torch, Python, NumPy            20 kB
            the rest    losses, decisions, the talk with the model        text

        Args:
            snapshots: True: as above, 5 W in all. False: without what a rollback
                needs, 2 W; after a load a rollback begins anew: it goes back to the
                weights of the load and to the base optimizer without its state. "all":
                with what is wanted only for a second rollback, and with a snapshot
                that has not proved itself, and the one before: 9 W at most.

        Raises:
            TrainingDiverged: with `lm=None`, as `observe` does, for what comes late.
        """
        return self._state().state_dict(snapshots)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave, in this process or another.

        Load the model's weights first. A decision that is being made in the background
        is dropped: it is of the training that is left here. With the run folder of the
        run that died (`run_dir=RunFolder.open(DIR)`) replies that were paid are used
        again, and what is recorded already is not recorded twice. The random numbers of
        the process go on from there too: seed them after this where others are wanted.

        Raises:
            CheckpointRefused: it is damaged, or a source in it may not run.
            ValueError: it was taken over other groups or parameters, or ones of other
                shapes or dtypes.
            RunFolderUnusable: the run folder is another run's.
                After each of them nothing was changed.
        """
        self._require_open()
        self._loop.drain(judge=False)
        self._state().load_state_dict(state)

    def prime(self, source: str | os.PathLike[str] | Mapping[str, Any]) -> Primed:
        """Make the rule of a checkpoint live, so that the checkpoint can be loaded.

        For `torch.distributed.checkpoint`, which loads into what is there: a state
        with the entries of the saved rule. No decision is made. The rule begins with
        the state of a step on zero gradients, which the load replaces; load next.

        Args:
            source: the text of a rule, a `state_dict` that holds one (the live
                optimizer's, or what `get_state_dict` made of it), or the folder that
                `dcp.save` wrote.

        Returns:
            What was done: the digest of the rule, and the names in its state and in its
            groups.

        Raises:
            BadArgument: there is no rule in it.
            CheckpointRefused, SourceRejected: its source may not run.
            RuleFailed: its rule cannot be built here.
                After each of them nothing was changed.
        """
        self._require_open()
        rule = source_in(source)
        self._loop.drain(judge=False)
        self.optimizer.guard.forget()
        return self._rules.prime(rule, self.settings.lr_owner)

    def stateful(self) -> OneEntry:
        """The agent as one entry for `torch.distributed.checkpoint`; needs no priming.

        `dcp.save({"model": model, "agent": agent.stateful()}, checkpoint_id=...)`, and
        the same with `dcp.load`. Each rank of a sharded model has an entry of its own:
        the checkpoint is loaded by as many ranks as saved it.
        """
        if not model_is_sharded(self.model):
            return OneEntry(self)
        return OneEntry(self, f"agent of {self._ranks.rank} in {self._ranks.count}")

    def _state(self) -> AgentState:
        return AgentState(
            training=self.training,
            loop=self._loop,
            decider=self._decider,
            recorder=self._recorder,
            run_guard=self._run_guard,
            rank=self._ranks.rank,
        )

    @property
    def at_work(self) -> bool:
        """Whether a decision is being made in the background."""
        return self._decider.at_work

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed is not None

    def __repr__(self) -> str:
        return agent_line(self, asks=self._run_guard is None)

    def _repr_html_(self) -> str:
        return agent_table(self)

    def show(self, seconds: float = 1.0) -> None:
        """Show a table in a notebook that stays current until the agent is closed.

        Args:
            seconds: between two looks; the table is written anew where it changed.

        Raises:
            MissingExtra: there is no IPython.
        """
        show_live(self, seconds)

    def close(self, because: str = "") -> None:
        """End threads and processes.

        Can be called twice. A decision that is still being made is dropped. With the
        last open agent the process ends from which rules' processes are forked. All of
        it is done before anything is raised.

        Args:
            because: told to whoever uses the agent afterwards.

        Raises:
            TrainingDiverged: as `state_dict` does.
            TypeError, ValueError: the loop has put into `optimizer.state` what no rule
                may keep. Each is a note of the exception that ends a `with` block.
        """
        self._close(because, drain=True)

    def _close(self, because: str, *, drain: bool) -> None:
        if self.closed:
            return
        self._closed = because
        with ExitStack() as last:  # all of them, whatever one raises
            last.callback(let_go, self)
            last.callback(self._recorder.close)
            last.callback(self.optimizer.close)
            last.callback(self._decider.close)
            if drain:
                self._loop.drain()
            else:
                self._ranks.leave()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: object, error: BaseException | None, *__: object) -> None:
        try:
            # The other ranks of a loop that failed may be in the middle of a step.
            self._close("", drain=error is None or self._ranks.count == 1)
        except (TrainingDiverged, TypeError, ValueError) as trouble:
            if error is None:
                raise
            error.add_note(f"As the agent was closed: {trouble}")

    def _tell_of_replaced(self, message: str) -> None:
        trouble = ErrorEvent(error="replaced", message=message)
        self._recorder.tell(trouble, step=self.step_count)

    def _require_open(self) -> None:
        if self._closed is not None:
            why = f": {self._closed}" if self._closed else ""
            raise BadArgument(
                f"the agent is closed{why}; an open one was wanted; attach a new one, "
                f"or close it after the last step."
            )
