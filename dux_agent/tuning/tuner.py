"""Asks for configurations and is told what came of them: a study, trial by trial."""

import math
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from langgraph.types import RetryPolicy

from dux_agent.decisions import budget_of
from dux_agent.errors import BadArgument
from dux_agent.run_folder.folder import RunFolder
from dux_agent.run_folder.recorder import Recorder
from dux_agent.tuning.evaluating import Outcome, outcome_of
from dux_agent.tuning.judging import Judge, StudyPaused, plan_of, space_of
from dux_agent.tuning.models import brief_of, models_of, offline_rule
from dux_agent.tuning.samplers import Sampler, sampler_of
from dux_agent.tuning.study import DONE, FAILED, Study, Trial
from dux_agent.tuning.study_chat import StudyChat
from dux_agent.tuning.turns import LM, Turns
from dux_graphs.language_model import by_name
from dux_graphs.paid_model import PaidModel
from dux_graphs.tuning.graph import build_graph, run_trial
from dux_graphs.tuning.nodes import FALLBACK
from dux_graphs.tuning.pattern_search import worth
from dux_graphs.tuning.state import TrialInput, TrialPorts, TrialState
from dux_prompts.tuning.program import SOURCE
from dux_prompts.tuning.space import Config, key_of
from dux_prompts.tuning.study_view import StudyView, TrialRow


class Tuner:
    """A study in a loop of your own.

    tuner = dux_agent.Tuner({"lr": dux_agent.real(1e-5, 1, log=True)})
    for _ in range(10):
        config = tuner.ask()
        tuner.tell(config, validation_error(**config))
    print(tuner.study.best)
    """

    def __init__(
        self,
        space: Mapping[str, Any],
        *,
        lm: Any = "offline",
        fallback: Any = None,
        lm_options: Any = None,
        lm_budget: int | Mapping[str, float] | None = None,
        folder: RunFolder | None = None,
        retry: Any = None,
        **options: Any,
    ) -> None:
        """A study over a space.

        Args:
            space: name -> `dux_agent.real`, `whole` or `one_of`.
            lm: the language model, as `dux_agent.attach` takes it, or several; None:
                nobody is asked, and `then` names an optimizer.
            fallback: asked when it has failed for good.
            lm_options: of the models, as `dux_agent.attach` takes them.
            lm_budget: calls, or `{"tokens": ...}`, that the study may cost.
            folder: where it is recorded; None: nowhere.
            retry: how trouble with the model is retried, a `RetryPolicy`.
            options: those of `dux_agent.tuning.plan.StudyPlan`.

        Raises:
            BadArgument: an argument cannot be meant.
            MissingExtra: an optimizer's package is not installed.
        """
        if retry is not None and not isinstance(retry, RetryPolicy):
            raise BadArgument(
                f"retry is {retry!r}; a RetryPolicy was wanted; pass "
                f"langgraph.types.RetryPolicy(max_attempts=3)."
            )
        self.space = space_of(space)
        self.plan = plan_of(lm, options)
        self._judge = Judge(self.space, self.plan)
        defaults = [self._judge.sound(each) for each in self.plan.defaults]
        self._turns = Turns(
            replace(self.plan, defaults=tuple(defaults)), lm is not None
        )
        self._offline = lm == "offline"
        self._sampler: Sampler | None = None
        if self.plan.then is not None:
            self._sampler = sampler_of(self.plan.then, self.space, self.plan.seed)
        self._graph = build_graph(**({} if retry is None else {"retry": retry}))
        self._recorder = Recorder(folder, owned=False)
        models = models_of(lm, fallback, lm_options, self.plan, self._offline_rule)
        self._paid = PaidModel(by_name(models), budget=budget_of(lm_budget))
        self._trials: list[Trial] = []
        self._pending: list[Trial] = []
        self._number = 0
        self._chat = StudyChat(self.plan.history)
        self._view: StudyView | None = None
        self._began = time.monotonic()

    def ask(self) -> Config:
        """The next configuration to evaluate; several may be out at a time.

        Raises:
            StudyPaused: the language model cannot be had.
        """
        return dict(self._proposed(None).config)

    def tell(
        self,
        config: Mapping[str, Any],
        value: float | None,
        *,
        report: Any = None,
        error: str = "",
        seconds: float = 0.0,
    ) -> Trial:
        """What came of a configuration, of `ask` or of your own.

        Args:
            value: what the objective gave; None, NaN or an infinity: it failed.
            report: what else is to be kept; the model is never shown it.
            error: why it failed.
            seconds: that it took.
        """
        outcome = Outcome(None) if value is None else outcome_of(value)
        why = error or outcome.error
        failed = "no value was told" if outcome.value is None and not why else why
        return self.told(config, Outcome(outcome.value, report, failed, seconds))

    def run(self, evaluate: Callable[[int, Config], Outcome]) -> Trial:
        """One trial whole: ask, evaluate, tell.

        Args:
            evaluate: number and configuration to what came of it.

        Raises:
            StudyPaused: the language model cannot be had.
        """
        held: list[Outcome] = []

        def port(config: dict[str, Any]) -> dict[str, Any]:
            held.append(evaluate(self._number, config))
            return {"value": held[0].value, "error": held[0].error}

        trial = self._proposed(port)
        return self._over(trial, held[0])

    def told(self, config: Mapping[str, Any], outcome: Outcome) -> Trial:
        """As `tell`, with an outcome."""
        wanted = dict(config)
        for trial in self._pending:
            if trial.config == wanted:
                return self._over(trial, outcome)
        self._number += 1
        given = Trial(self._number, self._judge.sound(wanted), by="given")
        self._pending.append(given)
        return self._over(given, outcome)

    @property
    def number(self) -> int:
        """Of the newest trial, from 1; 0 before the first."""
        return self._number

    @property
    def study(self) -> Study:
        """All trials that are over, so far."""
        return Study(
            trials=tuple(sorted(self._trials, key=lambda trial: trial.number)),
            maximize=self.plan.maximize,
            usage=dict(self._paid.usage),
            model=self.plan.model,
            seconds=time.monotonic() - self._began,
        )

    def _offline_rule(self) -> Any:
        def view() -> StudyView:
            assert self._view is not None
            return self._view

        return offline_rule(self.space, view, self.plan.seed)

    def _proposed(self, evaluate: Any) -> Trial:
        """The next trial, before its value; it is pending then."""
        number, turn = self._number + 1, self._turns.of(self._number + 1)
        given, optimizer = self._given(number, turn)
        self._view = self._look(number, optimizer)
        begin: TrialInput = {
            "view": self._view.as_dict(),
            "chat": self._chat.messages,
            "given": given,
        }
        self._number = number
        try:
            out = run_trial(self._graph, begin, self._ports(number, evaluate))
        except BaseException:
            self._number = number - 1
            raise
        if out["verdict"] == "failed":
            self._number = number - 1
            raise StudyPaused(out["reason"])
        trial = self._trial(number, out)
        if optimizer is not None and self._sampler is not None:
            if key_of(trial.config) != key_of(optimizer["proposal"]):
                self._sampler.passed_over(optimizer["proposal"])
        self._pending.append(trial)
        if given is None:
            newest = 0 if out["by"] == FALLBACK else number
            told = [each.number for each in self._trials]
            self._chat.add(newest, out.get("messages", []), told)
        return trial

    def _given(
        self, number: int, turn: str
    ) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
        """A configuration that nobody is asked for, and one that may be overridden."""
        if turn == "default":
            config = dict(self._turns.plan.defaults[number - 1])
            return {"config": config, "by": "default", "why": ""}, None
        if turn == LM:
            return None, None
        assert self._sampler is not None
        proposal = self._sampler.ask()
        if turn != "override":
            return {"config": proposal, "by": turn, "why": ""}, None
        name = str(self.plan.then)
        return None, {"name": name, "proposal": proposal, **self._sampler.about()}

    def _look(self, number: int, optimizer: dict[str, Any] | None) -> StudyView:
        newest = self._chat.newest
        rows = [
            TrialRow(e.number, e.config, e.value, e.error, yours=e.number == newest)
            for e in self._trials
        ]
        return StudyView(
            number=number,
            budget=self.plan.budget,
            task=self.plan.task,
            maximize=self.plan.maximize,
            trials=rows,
            pending=[each.config for each in self._pending],
            news=self._chat.news(each.number for each in self._trials),
            optimizer=optimizer,
        )

    def _ports(self, number: int, evaluate: Any) -> TrialPorts:
        self._paid.recall = partial(self._recorder.known_reply, number)
        return TrialPorts(
            **self._paid.ports(),
            check=lambda proposed: self._judge.check(proposed, self._known()),
            draw=lambda: self._judge.draw(number, self._known()),
            brief=brief_of(self.space, self.plan),
            evaluate=evaluate,
            max_attempts=self.plan.max_attempts,
            on_event=partial(self._event, number),
        )

    def _known(self) -> list[Trial]:
        """Those that are over or under way."""
        return [*self._pending, *self._trials]

    def _trial(self, number: int, out: TrialState) -> Trial:
        config = self.space.typed(out["config"] or {})
        by, proposed = out["by"], out.get("proposed")
        if by == LM and self._offline:
            by = "offline rule"
        own = by not in (LM, "offline rule") or proposed == config
        return Trial(
            number, config, by=by, why=out["why"], proposed=None if own else proposed
        )

    def _over(self, trial: Trial, outcome: Outcome) -> Trial:
        value = outcome.value
        if value is not None and self.plan.noise:
            rng = random.Random(f"{self.plan.seed}:noise:{trial.number}")
            value *= rng.uniform(1 - self.plan.noise, 1 + self.plan.noise)
        ended = replace(
            trial,
            value=value,
            measured=outcome.value,
            report=outcome.report,
            state=DONE if value is not None else FAILED,
            error=outcome.error if value is None else "",
            seconds=outcome.seconds,
        )
        self._pending.remove(trial)
        self._trials.append(ended)
        if self._sampler is not None:
            lowered = worth(value, self.plan.maximize)
            self._sampler.told(
                ended.config, lowered if math.isfinite(lowered) else None
            )
        if self.space.is_code:
            self._recorder.keep_source(ended.config[SOURCE])
        self._event(ended.number, "trial", ended.as_dict())
        return ended

    def _event(self, number: int, kind: str, data: dict[str, Any]) -> None:
        self._recorder.event(kind, step=len(self._trials), decision=number, data=data)
