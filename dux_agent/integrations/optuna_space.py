"""A space of Optuna's distributions as one of ours, and configurations back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState

from dux_agent.errors import BadArgument
from dux_prompts.tuning.choice import Choice
from dux_prompts.tuning.hyperparameters import Hyperparameter
from dux_prompts.tuning.number import Number
from dux_prompts.tuning.space import Config, Space
from dux_prompts.tuning.study_view import TrialRow
from dux_prompts.tuning.values import When

Distributions = Mapping[str, BaseDistribution]


class OptunaSpace:
    """What a model is asked for in one trial.

    Attributes:
        space: as prompts and checks know it; choices that are objects by their names.
    """

    def __init__(
        self,
        distributions: Distributions,
        past: Sequence[FrozenTrial],
        *,
        conditions: bool,
    ) -> None:
        """A space of names that every trial uses, and those that some do.

        Args:
            distributions: of those that every trial uses.
            past: the trials so far.
            conditions: whether those that some trials use are asked for too, where a
                choice tells which do.
        """
        self._distributions = dict(distributions)
        held = {n: _hyperparameter(each, {}) for n, each in distributions.items()}
        for name, (each, when) in (
            _sometimes(distributions, past).items() if conditions else ()
        ):
            self._distributions[name] = each
            held[name] = _hyperparameter(each, when)
        self.space = Space(held)

    def params(self, config: Config) -> dict[str, Any]:
        """A configuration of the space as Optuna's values."""
        return {
            name: _value(self._distributions[name], self.space[name], value)
            for name, value in config.items()
        }

    def row(self, trial: FrozenTrial) -> TrialRow | None:
        """A trial that is over, as a prompt tells it; None where it tells nothing."""
        config = {
            name: _label(self._distributions[name], trial.params[name])
            for name in self.space
            if name in trial.params
        }
        if not config:
            return None
        value = trial.value if trial.state == TrialState.COMPLETE else None
        return TrialRow(trial.number + 1, config, value, _error(trial))


def distributions_of(space: Any) -> dict[str, BaseDistribution]:
    """Those of the argument `space` of a sampler.

    Raises:
        BadArgument: it holds something else.
    """
    held = isinstance(space, Mapping)
    if not held or not all(isinstance(e, BaseDistribution) for e in space.values()):
        raise BadArgument(
            f"space is {space!r:.80}; a dict of names and Optuna's distributions was "
            f"wanted; pass for instance {{'lr': FloatDistribution(1e-5, 1, log=True)}}."
        )
    return dict(space)


def _error(trial: FrozenTrial) -> str:
    if trial.state == TrialState.PRUNED:
        seen = trial.intermediate_values
        last = (
            f" at step {max(seen)}, where it was {seen[max(seen)]:.4g}" if seen else ""
        )
        return f"pruned{last}"
    if trial.state == TrialState.FAIL:
        return "no value"  # Optuna keeps no word of why
    return ""


def _sometimes(
    common: Distributions, past: Sequence[FrozenTrial]
) -> dict[str, tuple[BaseDistribution, When]]:
    """Names that only some trials use, where the values of one choice say which."""
    over = [each for each in past if each.state.is_finished() and each.params]
    everyone: dict[str, BaseDistribution] = {}
    for trial in over:
        everyone |= trial.distributions
    found: dict[str, tuple[BaseDistribution, When]] = {}
    for name, each in everyone.items():
        if name in common or each.single():
            continue
        for choice, held in common.items():
            if not isinstance(held, CategoricalDistribution):
                continue
            # A trial that fell out before the choice says nothing of it.
            told = [trial for trial in over if choice in trial.params]
            users = {
                held.choices.index(trial.params[choice])
                for trial in told
                if name in trial.params and trial.params[choice] in held.choices
            }
            others = {
                held.choices.index(trial.params[choice])
                for trial in told
                if name not in trial.params and trial.params[choice] in held.choices
            }
            if users and others and not users & others:
                labels = _labels(held)
                when = {choice: tuple(labels[place] for place in sorted(users))}
                found[name] = (each, when)
                break
    return found


def _hyperparameter(each: BaseDistribution, when: When) -> Hyperparameter:
    if isinstance(each, FloatDistribution):
        return Number(False, each.low, each.high, each.log, each.step, None, when)
    if isinstance(each, IntDistribution):
        return Number(True, each.low, each.high, each.log, each.step, None, when)
    assert isinstance(each, CategoricalDistribution)
    return Choice(_labels(each), None, when)


def _labels(each: CategoricalDistribution) -> tuple[Any, ...]:
    """The choices as plain values; objects, and what reads alike, by their text."""
    plain = all(isinstance(c, str | int | float | bool | None) for c in each.choices)
    if plain and len({str(c).casefold() for c in each.choices}) == len(each.choices):
        return each.choices
    texts = [repr(choice) for choice in each.choices]
    if len(set(texts)) == len(texts):
        return tuple(texts)
    return tuple(f"{place}: {text}" for place, text in enumerate(texts))


def _label(each: BaseDistribution, value: Any) -> Any:
    if not isinstance(each, CategoricalDistribution):
        return value
    try:
        return _labels(each)[int(each.to_internal_repr(value))]
    except ValueError:
        return repr(value)  # of another distribution of the same name


def _value(each: BaseDistribution, ours: Hyperparameter, value: Any) -> Any:
    if isinstance(each, CategoricalDistribution):
        assert isinstance(ours, Choice)
        place = ours.index(value)
        assert place is not None
        return each.choices[place]
    assert isinstance(each, FloatDistribution | IntDistribution)
    if each.step is not None and not each.log:
        # To the last bit where Optuna has its steps.
        count = round((value - each.low) / each.step)
        value = min(each.low + count * each.step, each.high)
    return int(value) if isinstance(each, IntDistribution) else float(value)
