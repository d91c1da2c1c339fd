"""What may be evaluated in a study: what a reply means, what is new, what is drawn."""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from dux_agent.errors import BadArgument, DuxError
from dux_agent.run_folder.recorder import name_of
from dux_agent.tuning.plan import StudyPlan
from dux_agent.tuning.study import Trial
from dux_prompts.brief import BriefError
from dux_prompts.tuning.prompts import check_prompts
from dux_prompts.tuning.space import Config, Space
from dux_prompts.tuning.values import SpaceError
from dux_sandbox.findings import Finding

_MOST_DRAWS = 200


class StudyPaused(DuxError):
    """No configuration can be had, as things are; the study can be gone on with."""


class Judge:
    """Judges the configurations of one study."""

    def __init__(self, space: Space, plan: StudyPlan) -> None:
        self._space, self._plan = space, plan
        if space.is_code:
            _check_plan_of_code(plan)

    def check(
        self, proposed: Mapping[str, Any], trials: Iterable[Trial]
    ) -> Config | Sequence[Finding]:
        """The configuration that a reply means, or what is wrong with it.

        Args:
            proposed: the JSON object of the reply.
            trials: those that are over or under way.
        """
        found = self._space.problems(proposed, free=self._plan.free)
        if found:
            return found
        config = self._space.typed(proposed)
        key_of = self._space.key_of
        known = {key_of(each.config): each for each in trials}
        if not self._plan.repeats and key_of(config) in known:
            if self._plan.free or len(known) < self._space.size:
                return [_repeated(known[key_of(config)])]
        return config

    def draw(self, number: int, trials: Iterable[Trial]) -> Config:
        """A configuration for a trial whose every reply was refused.

        Raises:
            StudyPaused: the plan says that the study ends then.
        """
        if self._plan.on_failure == "raise":
            raise StudyPaused(
                f"trial {number}: each of {self._plan.max_attempts} replies was refused"
            )
        rng = random.Random(f"{self._plan.seed}:draw:{number}")
        known = {self._space.key_of(each.config) for each in trials}
        for _ in range(_MOST_DRAWS):
            config = self._space.draw(rng)
            if self._space.key_of(config) not in known:
                break
        return config

    def sound(self, config: Mapping[str, Any]) -> Config:
        """A configuration of the caller's own, in types.

        Raises:
            BadArgument: it is none of the space.
        """
        found = self._space.problems(config, free=self._plan.free)
        if found:
            raise BadArgument(
                f"a configuration is {dict(config)!r}: {found[0].message}; one of the "
                f"space was wanted; write {found[0].instead}."
            )
        return self._space.typed(config)


def _check_plan_of_code(plan: StudyPlan) -> None:
    """Raise BadArgument for what a study of programs has no use for."""
    found = {"free": plan.free, "lm_share": plan.lm_share is not None}
    found["then"] = plan.then not in (None, "random")
    for name, given in found.items():
        if given:
            raise BadArgument(
                f"programs are tuned and {name} is {getattr(plan, name)!r}; it was not "
                f"wanted, since it is about numbers; leave it out."
            )


def space_of(given: Any) -> Space:
    """The space of an argument.

    Raises:
        BadArgument: it is none.
    """
    try:
        return Space.of(given)
    except SpaceError as error:
        raise BadArgument(str(error)) from None


def plan_of(lm: Any, options: Mapping[str, Any]) -> StudyPlan:
    """The plan of these options.

    Raises:
        BadArgument: one is unknown or cannot be meant, or nobody would propose.
    """
    known = StudyPlan.__dataclass_fields__.keys()
    for name in options:
        if name not in known:
            raise BadArgument(
                f"a study has no option {name!r}; one of {', '.join(known)} was wanted."
            )
    held = dict(options)
    held["defaults"] = _configurations(held.get("defaults") or ())
    held.setdefault("model", name_of(lm))
    plan = StudyPlan(**held)
    if lm is None and plan.then is None:
        raise BadArgument(
            "lm is None and then is None; somebody who proposes was wanted; pass "
            "then='random', or a language model."
        )
    for name in ("lm_first", "lm_share"):
        if lm is None and getattr(plan, name) is not None:
            raise BadArgument(
                f"{name} is {getattr(plan, name)!r} and lm is None; a language model "
                f"was wanted, whose share it is; name one, or leave {name} out."
            )
    try:
        return replace(plan, prompts=check_prompts(plan.prompts))
    except BriefError as error:
        raise BadArgument(str(error)) from None


def _configurations(given: Any) -> tuple[dict[str, Any], ...]:
    """Those of the argument `defaults`."""
    listed = isinstance(given, list | tuple)
    if not listed or not all(isinstance(each, Mapping) for each in given):
        raise BadArgument(
            f"defaults is {given!r:.80}; a list of configurations, each a dict, was "
            f"wanted; pass for instance [{{'lr': 0.1}}]."
        )
    return tuple(dict(each) for each in given)


def _repeated(trial: Trial) -> Finding:
    value = trial.error or (
        "under way" if trial.value is None else f"{trial.value:.4g}"
    )
    return Finding(
        "repeated",
        None,
        f"this configuration is evaluation {trial.number}: {value}",
        "another configuration",
    )
