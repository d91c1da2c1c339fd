"""What is alive in one training: made once, and handed on whole."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from torch import nn

from dux_agent.decisions import Decision
from dux_agent.errors import BadArgument
from dux_agent.live.group_options import learning_rates
from dux_agent.live.optimizer import DuxOptimizer
from dux_agent.live.settling import shares
from dux_agent.settings import Settings
from dux_agent.training import whole_model
from dux_agent.training.best_weights import Best, BestWeights
from dux_agent.training.intake import Intake
from dux_agent.training.interval_statistics import IntervalStatistics
from dux_agent.training.looking import CallersFunctions, Clone, Objective, Validate
from dux_agent.training.loss_feed import LossFeed
from dux_agent.training.on_shards import OnShards, Partners
from dux_agent.training.prompt_history import PromptHistory, told_to_the_model
from dux_agent.training.ranks import Alone, Ranks
from dux_agent.training.scheduled import describe_schedule
from dux_agent.training.step_clock import StepClock
from dux_agent.training.structure import (
    describe_groups,
    describe_model,
    describe_optimizer,
    kinds_of,
)
from dux_agent.training.trial import Trial
from dux_prompts.observation import Observation
from dux_sandbox.dry_runs.slices import Slices, at_once
from dux_sandbox.findings import DryRunReport
from dux_sandbox.running import parameters_of


@dataclass(eq=False)
class Training:
    """One model, what trains it, and what was seen of it so far.

    Attributes:
        model: the module that is trained.
        live: the optimizer that its loop steps.
        objective: `(model, batch) -> loss`, a scalar tensor.
        statistics: losses and gradient norms since the last observation.
        batches: the newest, which dry runs use; the loop appends to them.
        validate: `model -> validation loss`; None: nobody validates.
        clone: copies the model where `copy.deepcopy` cannot.
        also: modules that the objective reaches in a way that cannot be seen.
        ranks: the processes that train the model together.
        settings: what is plain.
        feed: hands on the values of losses, those of a device some steps late.
        validations: `[step, loss]` of every observation so far.
        validation_error: standard error of the last validation loss, where it has one.
        step_clock: how long its steps take.
        functions: calls objective and validation, and leaves everything as it was.
        intake: gathers what the loop tells of its losses.
        best: keeps the weights of the best validation; None: nobody does.
    """

    model: nn.Module
    live: DuxOptimizer
    objective: Objective
    statistics: IntervalStatistics
    batches: deque[Any]
    validate: Validate | None = None
    clone: Clone | None = None
    also: tuple[Any, ...] = ()
    ranks: Ranks = field(default_factory=Alone)
    settings: Settings = field(default_factory=Settings)
    feed: LossFeed = field(default_factory=LossFeed)
    validations: list[list[float]] = field(default_factory=list)
    validation_error: float | None = None
    step_clock: StepClock = field(default_factory=StepClock)
    functions: CallersFunctions = field(init=False)
    intake: Intake = field(init=False)
    best: BestWeights | None = field(init=False)

    @classmethod
    def begun(
        cls,
        model: nn.Module,
        live: DuxOptimizer,
        objective: Objective,
        settings: Settings,
        validate: Validate | None = None,
        clone: Clone | None = None,
        also: tuple[Any, ...] = (),
    ) -> Training:
        """One of which no loss and no batch was seen yet."""
        expected = settings.every or settings.steps_per_epoch
        statistics = IntervalStatistics(seed=settings.seed, expected=expected)
        batches: deque[Any] = deque(maxlen=settings.dry_run_steps)
        given = (validate, clone, also)
        return cls(
            model, live, objective, statistics, batches, *given, settings=settings
        )

    def __post_init__(self) -> None:
        base = self.live.base
        self.functions = CallersFunctions(
            self.model, self.live, self.objective, self.validate, self.clone, self.also
        )
        self._whole: whole_model.WholeTraining | None = None
        self._shards: OnShards | None = None
        self.intake = Intake(self.functions, self.live)
        self.best = BestWeights(self.model) if self.settings.keep_best else None
        self._described = (
            describe_model(self.model),
            describe_optimizer(type(base).__name__, base.param_groups, base.defaults),
        )

    def validation_loss(self) -> float | None:
        """The mean of the ranks' of now; the weights are kept if it is the best one.

        Raises:
            BadArgument: `validate` returns no number. What it raises comes out.
        """
        if self.validate is None:
            return None
        if self._shards is not None:
            return self._shards.validation_loss()
        own = self.functions.validation_loss()
        return None if own is None else self.validated(self.ranks.gather(own))

    def validated(self, losses: Sequence[float]) -> float:
        """The mean of these, one of each rank; see `validation_loss`."""
        loss = float(sum(losses[1:], losses[0])) / len(losses)
        errors = [getattr(each, "standard_error", None) for each in losses]
        known = [error for error in errors if error is not None]
        self.validation_error = None
        if len(known) == len(losses):
            self.validation_error = math.hypot(*known) / len(losses)
        if self.best is not None:
            self.best.offer(self.statistics.step, loss)
        return loss

    def restore_best(self) -> Best:
        """See `Agent.restore_best`."""
        if self.best is None or self.validate is None:
            raise BadArgument(
                "nothing was kept, since keep_best is False; a run that keeps its best "
                "weights was wanted; pass keep_best=True and validate to attach."
            )
        self.validation_loss()
        return self.best.restore()

    def observation(
        self, decision: int, history: PromptHistory, last: Decision | None
    ) -> Observation:
        """What training looks like now, the first rank's; a new interval begins.

        Needs a batch in `batches`.

        Args:
            decision: number of the one that is made on it, from 1.
            history: of earlier ones; it is told how the last interval went.
            last: the one before; None: it is the first.

        Raises:
            BadArgument: the objective or `validate` returns no scalar.
            Whatever they raise.
        """
        settings, statistics, live = self.settings, self.statistics, self.live
        live.meet_groups()
        alone = self._shards is None
        if alone:  # else the dry run does it, on all ranks
            self.functions.check_objective(self.batches[-1])
        validation = self.validation_loss()
        if validation is not None:
            self.validations.append([statistics.step, validation])
        fifths = statistics.losses.fifths()
        history.complete(fifths, validation)
        model, base = self._described
        observation = Observation(
            model=model,
            base_optimizer=base,
            step=statistics.step,
            total_steps=settings.total_steps,
            interval=statistics.interval,
            decision=decision,
            decisions_left=settings.decisions_left(statistics.step),
            loss_name=settings.loss_name,
            task=settings.task,
            losses=statistics.draw(),
            loss_fifths=fifths,
            gradient_norm=statistics.norms.mean(),
            gradient_norm_fifths=statistics.norms.fifths(),
            gradient_clip=statistics.clipping.bound,
            validation_losses=[list(pair) for pair in self.validations],
            validation_error=self.validation_error,
            evaluated_loss=self.functions.evaluated_loss(self.batches)
            if alone
            else None,
            learning_rates=learning_rates(live.param_groups),
            groups=describe_groups(live.param_groups, shares(live)),
            closures=live.passes_closure if live.steps else None,
            kinds=kinds_of(parameters_of(live.param_groups)),
            accumulated=self.intake.accumulated,
            source=live.running.source,
            history=history.table(),
            last=told_to_the_model(last),
        )
        statistics.restart()
        schedule = describe_schedule(
            live, settings.lr_owner, observation.steps_to_next_decision
        )
        return self.ranks.gather(replace(observation, schedule=schedule))[0]

    def in_slices(
        self,
        source: str,
        *,
        steps: int,
        seed: int,
        incumbent_losses: Sequence[float] | None = None,
        incumbent_moved: float = 0.0,
        proposal_steps: int | None = None,
        ahead: int = 0,
        sliced: bool = False,
    ) -> Slices[DryRunReport]:
        """Try a source on a copy of the model; the live one is bit for bit as before.

        A source has passed where it has on every rank.

        Args:
            source: the text of the proposal.
            steps: to take, on `batches` in turn.
            seed: of the random numbers that are drawn in it.
            incumbent_losses: of an earlier dry run of the same state and seed; spares
                running the incumbent again.
            incumbent_moved: what that one's report says of the same.
            proposal_steps: that the proposal takes, where they are fewer.
            ahead: that it takes after them without passes of the model.
            sliced: stop after each step, so that training can go on before the next.

        Raises:
            Outdated: between two slices the loop changed which parameters there are.
            Whatever the caller's objective or clone raise.
        """
        given = (source, steps, seed, incumbent_losses, incumbent_moved)
        trial = Trial(*given, proposal_steps, ahead, sliced)
        whole, shards = self._whole, self._shards
        if shards is not None:
            return shards.tried(trial)
        limits = self.settings.limits
        found = whole and whole.found_by_parts(source, self.live, limits)
        if found:
            return trial.refused(found)
        report = yield from trial.on(self, None if whole is None else whole.pair)
        reports = self.ranks.gather(report)
        return next((each for each in reports if not each.ok), reports[0])

    dry_run = at_once(in_slices)

    @contextmanager
    def made_whole(self, *, keep: bool, all_can: whole_model.AllCan) -> Iterator[None]:
        """Inside, a rank tries on a whole copy of a sharded model; all ranks enter.

        Args:
            keep: this rank tries; the others only give their parts.
            all_can: see `whole_model.made_whole`, also for what is raised.
        """
        if whole_model.model_is_sharded(self.model):
            self._whole = whole_model.made_whole(
                self.model, self.live, keep=keep, all_can=all_can
            )
        try:
            self.functions.whole = None if self._whole is None else self._whole.model
            yield
        finally:
            self._whole = self.functions.whole = None

    @contextmanager
    def on_shards(
        self, together: Partners, all_can: whole_model.AllCan
    ) -> Iterator[OnShards]:
        """Inside, all ranks try on copies of the parts that they hold.

        Args:
            together: what they do alike.
            all_can: see `whole_model.done_by_all`, also for what is raised.
        """
        shards = OnShards(self, together)
        try:
            whole_model.done_by_all(shards.begin, all_can)
            self._shards = shards
            yield shards
        finally:
            self._shards = None
            shards.close()
