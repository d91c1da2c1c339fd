"""A language model as a sampler of Optuna.

optuna.create_study(sampler=LMSampler(lm="openai:gpt-4o", task="..."))
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from dux_agent.decisions import budget_of
from dux_agent.errors import BadArgument, MissingExtra
from dux_agent.tuning.judging import Judge, StudyPaused, plan_of
from dux_agent.tuning.models import models_of
from dux_agent.tuning.study import Trial as Evaluated
from dux_graphs.language_model import by_name
from dux_graphs.paid_model import PaidModel
from dux_graphs.tuning.brief import HyperparameterBrief
from dux_graphs.tuning.graph import build_graph, run_trial
from dux_graphs.tuning.nodes import FALLBACK
from dux_graphs.tuning.offline import OfflineSearch
from dux_graphs.tuning.state import TrialPorts
from dux_prompts.tuning.space import Config, Space
from dux_prompts.tuning.study_view import StudyView, TrialRow

try:
    from optuna.samplers import BaseSampler, RandomSampler
    from optuna.search_space import IntersectionSearchSpace
    from optuna.trial import TrialState
except ImportError:
    raise MissingExtra.of("optuna", extra="optuna", purpose="LMSampler") from None
from dux_agent.integrations.optuna_space import (
    Distributions,
    OptunaSpace,
    distributions_of,
)

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.study import Study
    from optuna.trial import FrozenTrial

log = logging.getLogger(__name__)

BY, WHY = "dux:by", "dux:why"
"""Names of the user attributes of a trial: who proposed it, and why."""

_FIRST = "nothing is known of the space before a trial has ended"


class LMSampler(BaseSampler):
    """Samples by a language model, one call a trial.

        study = optuna.create_study(sampler=LMSampler(lm="openai:gpt-4o"))
        study.optimize(objective, n_trials=10)

    Every proposal is checked before Optuna sees it, since Optuna puts a random draw in
    the place of a number outside its range without a word. Each trial says in its user
    attributes who proposed it ("dux:by": lm, offline rule, fallback, random, enqueued)
    and why ("dux:why"). Calls are made one after the other also where trials are not.
    """

    def __init__(
        self,
        *,
        lm: Any = "offline",
        task: str = "",
        space: Distributions | None = None,
        fallback: Any = None,
        lm_options: Any = None,
        lm_budget: int | Mapping[str, float] | None = None,
        reasoning: bool = True,
        max_attempts: int = 3,
        on_failure: str = "fallback",
        lm_timeout: float = 600.0,
        prompts: str | None = None,
        retry: Any = None,
        seed: int | None = None,
    ) -> None:
        """A sampler; nothing is asked before a trial begins.

        Args:
            lm, fallback, lm_options, lm_budget, retry: as of `dux_agent.Tuner`.
            task: a few words on the problem; "": the study's user attribute
                "problem_description", where it has one.
            space: name -> Optuna's distribution. None: what earlier trials have asked
                for, so the first trial is random.
            reasoning, max_attempts, lm_timeout, prompts: as of
                `dux_agent.tuning.plan.StudyPlan`.
            on_failure: where the model cannot be had, or each of its replies was
                refused: "fallback": a random draw, with a warning; "raise": the trial
                fails with the error.
            seed: of draws, and of the model where its provider takes one.

        Raises:
            BadArgument: an argument cannot be meant.
        """
        options = {"task": task, "reasoning": reasoning, "prompts": prompts}
        options |= {"max_attempts": max_attempts, "on_failure": on_failure}
        options |= {"lm_timeout": lm_timeout, "seed": seed or 0, "budget": None}
        self._plan = plan_of(lm, options)
        self._models = (lm, fallback, lm_options)
        self._budget, self._retry = lm_budget, retry
        self._space = None if space is None else distributions_of(space)
        self._random = RandomSampler(seed=seed)
        self._rng = random.Random(seed)
        self._known = IntersectionSearchSpace(include_pruned=True)
        self._under_way: dict[tuple[str, int], Config] = {}
        self._sometimes: dict[tuple[str, int], dict[str, Any]] = {}
        self._live: _Live | None = None
        self._turn = threading.Lock()
        self._parts()  # a name that means nothing is said at once

    def __getstate__(self) -> dict[str, Any]:
        # Locks and connections stay behind; they are made anew where they are needed.
        return {**self.__dict__, "_live": None, "_turn": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._turn = threading.Lock()

    @property
    def usage(self) -> dict[str, float]:
        """Calls, tokens and, where there is a price, money so far."""
        return dict(self._parts().paid.usage)

    def reseed_rng(self) -> None:
        """Draw otherwise from now on, as Optuna asks for in parallel studies."""
        self._random.reseed_rng()
        self._rng.seed()

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Refuse a study of several objectives; say of a trial that it was enqueued.

        Raises:
            BadArgument: it is one.
        """
        _refuse_several(study)
        if trial.system_attrs.get("fixed_params"):
            self._note(study, trial, "enqueued", "")

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """What the model is asked for: the given space, or what every trial uses."""
        _refuse_several(study)
        found = self._space or self._known.calculate(study)
        return {name: each for name, each in found.items() if not each.single()}

    def sample_relative(
        self,
        study: Study,
        trial: FrozenTrial,
        search_space: dict[str, BaseDistribution],
    ) -> dict[str, Any]:
        """Ask the model; what it is refused for or cannot answer is drawn, loudly."""
        _refuse_several(study)
        fixed = trial.system_attrs.get("fixed_params") or {}
        if search_space.keys() <= fixed.keys():
            if not fixed:
                self._note(study, trial, "random", _FIRST)
            return {}
        key = (study.study_name, trial.number)
        with self._turn:
            past = study.get_trials(deepcopy=False)
            space = OptunaSpace(search_space, past, conditions=self._space is None)
            self._under_way[key], by, why = self._asked(study, trial, space, past)
            params = space.params(self._under_way[key])
        self._note(study, trial, by, why)
        common = {name: params.pop(name) for name in search_space}
        self._sometimes[key] = params
        return common

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """The model's value, where it gave one that fits; else a random draw."""
        _refuse_several(study)
        held = self._sometimes.get((study.study_name, trial.number), {})
        if param_name in held:
            value = held[param_name]
            with suppress(ValueError):  # another choice than was asked for
                inner = param_distribution.to_internal_repr(value)
                if param_distribution._contains(inner):
                    return value
        return self._random.sample_independent(
            study, trial, param_name, param_distribution
        )

    def after_trial(
        self,
        study: Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Forget what was given; what was under way is so until the storage says."""
        self._sometimes.pop((study.study_name, trial.number), None)

    def _asked(
        self,
        study: Study,
        trial: FrozenTrial,
        space: OptunaSpace,
        past: Sequence[FrozenTrial],
    ) -> tuple[Config, str, str]:
        """A configuration of the space, who proposed it, and why."""
        live, plan = self._parts(), self._plan
        over = [each for each in past if each.state.is_finished()]
        rows = [space.row(each) for each in over]
        for each in over:
            self._under_way.pop((study.study_name, each.number), None)
        pending = [
            config
            for (name, number), config in self._under_way.items()
            if name == study.study_name and number != trial.number
        ]
        task = plan.task or str(study.user_attrs.get("problem_description", ""))
        live.space, live.view = (
            space.space,
            StudyView(
                number=trial.number + 1,
                task=task,
                maximize=study.direction.name == "MAXIMIZE",
                trials=[row for row in rows if row is not None],
                pending=pending,
            ),
        )
        judge = Judge(space.space, plan)
        known = _evaluated(live.view.trials, pending)
        ports = TrialPorts(
            # No trace: Optuna's storage is the record, and keeps no prompts.
            **live.paid.ports(),
            check=lambda proposed: judge.check(proposed, known),
            draw=lambda: judge.draw(trial.number, known),
            brief=HyperparameterBrief(
                space.space, plan.reasoning, prompts=plan.prompts
            ),
            max_attempts=plan.max_attempts,
        )
        out = run_trial(live.graph, {"view": live.view.as_dict()}, ports)
        if out["verdict"] == "failed":
            if plan.on_failure == "raise":
                raise StudyPaused(out["reason"])
            log.warning("trial %s is drawn at random: %s", trial.number, out["reason"])
            return space.space.draw(self._rng), FALLBACK, out["reason"]
        by = out["by"]
        if by == FALLBACK:
            log.warning("trial %s is drawn at random: %s", trial.number, out["why"])
        if by == "lm" and self._models[0] == "offline":
            by = "offline rule"
        return out["config"] or {}, by, out["why"]

    def _note(self, study: Study, trial: FrozenTrial, by: str, why: str) -> None:
        # The trial is frozen in a sampler's hooks; Optuna's own samplers note so too.
        for name, value in ((BY, by), (WHY, why)):
            study._storage.set_trial_user_attr(trial._trial_id, name, value)

    def _parts(self) -> _Live:
        if self._live is None:
            self._live = _Live(self._retry)
            made = models_of(*self._models, self._plan, self._live.offline)
            self._live.paid = PaidModel(by_name(made), budget=budget_of(self._budget))
        return self._live


class _Live:
    """What cannot be pickled: models, graph, and what the offline rule is shown."""

    paid: PaidModel
    space: Space
    view: StudyView

    def __init__(self, retry: Any) -> None:
        self.graph = build_graph(**({} if retry is None else {"retry": retry}))

    def offline(self) -> OfflineSearch:
        return OfflineSearch(space=lambda: self.space, view=lambda: self.view)


def _refuse_several(study: Study) -> None:
    if len(study.directions) > 1:
        raise BadArgument(
            f"the study has {len(study.directions)} objectives and LMSampler one "
            f"value to show; a study of one objective was wanted; make one number of "
            f"them, or take another sampler."
        )


def _evaluated(rows: Sequence[TrialRow], pending: Sequence[Config]) -> list[Evaluated]:
    over = [Evaluated(r.number, dict(r.config), r.value, error=r.error) for r in rows]
    return [*over, *(Evaluated(0, config) for config in pending)]
