"""Makes the observation of one decision out of what is alive."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from dux_agent.decisions import Decision
from dux_agent.live.group_options import learning_rates
from dux_agent.live.optimizer import DuxOptimizer
from dux_agent.live.settling import shares
from dux_agent.settings import Settings, Validate
from dux_agent.training.best_weights import BestWeights
from dux_agent.training.intake import Intake
from dux_agent.training.interval_statistics import IntervalStatistics
from dux_agent.training.looking import CallersFunctions
from dux_agent.training.prompt_history import PromptHistory, told_to_the_model
from dux_agent.training.scheduled import describe_schedule
from dux_agent.training.structure import describe_groups, kinds_of
from dux_prompts.observation import Observation
from dux_sandbox.running import parameters_of

Described = tuple[dict[str, Any], dict[str, Any]]


class Observer:
    """Looks at one training.

    Attributes:
        validations: `[step, loss]` of every decision so far.
        best: keeps the weights of the best of them; None: nobody does.
    """

    def __init__(
        self,
        settings: Settings,
        live: DuxOptimizer,
        watch: IntervalStatistics,
        chronicle: PromptHistory,
        described: Described,
        functions: CallersFunctions,
        intake: Intake,
        best: BestWeights | None,
    ) -> None:
        """For `Decider`; `described` are the model and its base optimizer."""
        self.best = best
        self._settings = settings
        self._functions = functions
        self._live = live
        self._watch = watch
        self._chronicle = chronicle
        self._described = described
        self._intake = intake
        self.validations: list[list[float]] = []

    def validate(self, function: Validate) -> float:
        """The validation loss of now; the weights are kept if it is the best one."""
        loss = self._functions.validation_loss(function)
        if self.best is not None:
            self.best.offer(self._watch.step, loss)
        return loss

    def look(
        self, decision: Decision, last: Decision | None, batches: Sequence[Any]
    ) -> Observation:
        """What training looks like now; a new interval begins.

        Raises:
            BadArgument: the objective or `validate` returns no scalar.
            Whatever they raise.
        """
        settings, watch = self._settings, self._watch
        self._live.meet_groups()
        self._functions.check_objective(batches[-1])
        validation: float | None = None
        if settings.validate is not None:
            validation = self.validate(settings.validate)
            self.validations.append([watch.step, validation])
        fifths = watch.losses.fifths()
        self._chronicle.complete(fifths, validation)
        model, base = self._described
        observation = Observation(
            model=model,
            base_optimizer=base,
            step=watch.step,
            total_steps=settings.total_steps,
            interval=watch.interval,
            decision=decision.number,
            decisions_left=settings.decisions_left(watch.step),
            loss_name=settings.loss_name,
            task=settings.task,
            losses=watch.draw(),
            loss_fifths=fifths,
            gradient_norm=watch.norms.mean(),
            gradient_norm_fifths=watch.norms.fifths(),
            gradient_clip=watch.clipping.bound,
            validation_losses=[list(pair) for pair in self.validations],
            learning_rates=learning_rates(self._live.param_groups),
            groups=describe_groups(self._live.param_groups, shares(self._live)),
            closures=self._live.passes_closure if self._live.steps else None,
            kinds=kinds_of(parameters_of(self._live.param_groups)),
            accumulated=self._intake.accumulated,
            source=self._live.running.source,
            history=self._chronicle.table(),
            last=told_to_the_model(last),
        )
        watch.restart()
        schedule = describe_schedule(
            self._live, settings.lr_owner, observation.steps_to_next_decision
        )
        return replace(observation, schedule=schedule)
