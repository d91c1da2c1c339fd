"""Optimizers that propose configurations without a language model."""

import random
from collections.abc import Mapping
from typing import Any, Protocol

from dux_agent.errors import MissingExtra
from dux_agent.tuning.cma_search import CmaSearch
from dux_prompts.tuning.choice import Choice
from dux_prompts.tuning.hyperparameters import Hyperparameter
from dux_prompts.tuning.space import Config, Space, key_of

# With the stock ten, a study of ten evaluations would be random search.
_STARTUP_TRIALS = 4


class Sampler(Protocol):
    """Proposes configurations, and is told of every trial of the study."""

    def ask(self) -> Config:
        """The next one."""
        ...

    def told(self, config: Mapping[str, Any], value: float | None) -> None:
        """One that was evaluated, whoever proposed it.

        Args:
            value: lower is better; None where it failed.
        """
        ...

    def passed_over(self, config: Mapping[str, Any]) -> None:
        """One of its proposals that another was evaluated instead of."""
        ...

    def about(self) -> dict[str, Config]:
        """Its `mean` and `spread`, where it has them."""
        ...


class RandomSearch:
    """Draws, each uniform on its scale."""

    def __init__(self, space: Space, seed: int | str) -> None:
        self._space = space
        self._rng = random.Random(seed)

    def ask(self) -> Config:
        return self._space.draw(self._rng)

    def told(self, config: Mapping[str, Any], value: float | None) -> None:
        """Random search learns nothing."""

    def passed_over(self, config: Mapping[str, Any]) -> None:
        """It goes on as it would have."""

    def about(self) -> dict[str, Config]:
        return {}


class OptunaSearch:
    """TPE or a Gaussian process, by Optuna."""

    def __init__(self, space: Space, kind: str, seed: int) -> None:
        """One of the two over a space.

        Args:
            kind: "tpe" or "gp".

        Raises:
            MissingExtra: Optuna is not installed.
        """
        try:
            import optuna
        except ImportError:
            raise MissingExtra.of(
                "optuna", extra="optuna", purpose=f"the optimizer {kind!r}"
            ) from None
        self._optuna, self._space = optuna, space
        samplers = optuna.samplers
        made = {
            "tpe": samplers.TPESampler,
            "gp": samplers.GPSampler,
        }[kind]
        # What is used on some ways only is drawn at random, as it has to be there.
        quiet = {} if kind == "tpe" else {"warn_independent_sampling": False}
        sampler = made(seed=seed, n_startup_trials=_STARTUP_TRIALS, **quiet)
        before = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        try:
            self._study = optuna.create_study(sampler=sampler)
        finally:
            optuna.logging.set_verbosity(before)
        self._asked: dict[str, Any] = {}

    def ask(self) -> Config:
        trial = self._study.ask()
        config: Config = {}
        for name, each in self._space.items():
            if self._space.in_use(name, config):
                config[name] = _suggested(trial, name, each)
        self._asked[key_of(config)] = trial
        return config

    def told(self, config: Mapping[str, Any], value: float | None) -> None:
        optuna = self._optuna
        state = optuna.trial.TrialState
        trial = self._asked.pop(key_of(config), None)
        if trial is not None:
            outcome = {"state": state.FAIL} if value is None else {"values": value}
            self._study.tell(trial, **outcome)
            return
        self._study.add_trial(
            optuna.trial.create_trial(
                params=dict(config),
                distributions={n: distribution_of(self._space[n]) for n in config},
                value=value,
                state=state.FAIL if value is None else state.COMPLETE,
            )
        )

    def passed_over(self, config: Mapping[str, Any]) -> None:
        trial = self._asked.pop(key_of(config), None)
        if trial is not None:
            self._study.tell(trial, state=self._optuna.trial.TrialState.FAIL)

    def about(self) -> dict[str, Config]:
        return {}


def _suggested(trial: Any, name: str, each: Hyperparameter) -> Any:
    if isinstance(each, Choice):
        return trial.suggest_categorical(name, each.choices)
    held = distribution_of(each)
    suggest = trial.suggest_int if each.whole else trial.suggest_float
    return suggest(name, held.low, held.high, log=held.log, step=held.step)


def distribution_of(each: Hyperparameter) -> Any:
    """A hyperparameter as Optuna's distribution."""
    from optuna import distributions

    if isinstance(each, Choice):
        return distributions.CategoricalDistribution(each.choices)
    if each.whole:
        step = int(each.step or 1)
        return distributions.IntDistribution(
            int(each.low), int(each.high), log=each.log, step=1 if each.log else step
        )
    width = None if each.log else each.step
    return distributions.FloatDistribution(
        float(each.low), float(each.high), log=each.log, step=width
    )


def sampler_of(name: str, space: Space, seed: int) -> Sampler:
    """The optimizer of that name.

    Raises:
        MissingExtra: its package is not installed.
        BadArgument: it cannot search this space.
    """
    if name == "random":
        return RandomSearch(space, f"{seed}:random")
    if name == "cmaes":
        return CmaSearch(space, seed)
    return OptunaSearch(space, name, seed)
