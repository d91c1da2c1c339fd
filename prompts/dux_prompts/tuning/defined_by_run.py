"""A space that a function defines as it runs, as objectives of Optuna do.

def space(trial):
    if trial.suggest_categorical("kind", ["svm", "forest"]) == "svm":
        trial.suggest_float("C", 1e-3, 1e3, log=True)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dux_prompts.tuning.choice import Choice
from dux_prompts.tuning.hyperparameters import Hyperparameter
from dux_prompts.tuning.number import Number
from dux_prompts.tuning.values import SpaceError, When

_MOST_RUNS = 512


@dataclass
class Suggestions:
    """What such a function is handed: it notes what is asked for.

    Attributes:
        answers: choices that are to be given; the others get their first.
        asked: by name, in the order in which they were asked for.
        chosen: the choices that were given.
    """

    answers: dict[str, Any] = field(default_factory=dict)
    asked: dict[str, Hyperparameter] = field(default_factory=dict)
    chosen: dict[str, Any] = field(default_factory=dict)

    def suggest_float(
        self,
        name: str,
        low: float,
        high: float,
        *,
        step: float | None = None,
        log: bool = False,
    ) -> float:
        """As Optuna's; the middle of the scale."""
        return float(self._noted(name, Number(False, low, high, log, step)))

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        """As Optuna's; the middle of the scale."""
        each = Number(True, low, high, log, None if step == 1 else step)
        return int(self._noted(name, each))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """As Optuna's; the choice that is to be given."""
        value = self._noted(name, Choice(tuple(choices)))
        self.chosen[name] = value = self.answers.get(name, value)
        return value

    def _noted(self, name: str, each: Hyperparameter) -> Any:
        self.asked.setdefault(name, each)
        return each.start


def space_by_running(
    function: Callable[[Suggestions], object],
) -> dict[str, Hyperparameter]:
    """The hyperparameters of a function, each with the choices it depends on.

    It is run once for each way through its choices; one that hangs on a number is
    found only where the middle of that number's range leads to it.

    Raises:
        SpaceError: it asks for nothing, has too many ways, or what it asks for hangs on
            more than the values of choices.
    """
    runs: list[Suggestions] = []
    ways: list[dict[str, Any]] = [{}]
    seen: set[str] = set()
    while ways:
        run = Suggestions(ways.pop(0))
        function(run)
        if repr(run.chosen) in seen:
            continue
        seen.add(repr(run.chosen))
        runs.append(run)
        if len(runs) > _MOST_RUNS:
            raise SpaceError(
                f"the function of the space has more than {_MOST_RUNS} ways through "
                f"its choices; fewer were wanted; write a dict with when=... instead."
            )
        for name, each in run.asked.items():
            if isinstance(each, Choice):
                ways += [run.chosen | {name: choice} for choice in each.choices]
    found: dict[str, Hyperparameter] = {}
    for run in runs:
        found = {**found, **{n: e for n, e in run.asked.items() if n not in found}}
    return {name: replace(e, when=_when(name, runs)) for name, e in found.items()}


def _when(name: str, runs: Sequence[Suggestions]) -> When:
    """With which values of choices a name is asked for."""
    with_it = [run for run in runs if name in run.asked]
    without = [run for run in runs if name not in run.asked]
    when: dict[str, tuple[Any, ...]] = {}
    for other in with_it[0].chosen:
        before = [list(run.asked) for run in with_it]
        if not all(other in b and b.index(other) < b.index(name) for b in before):
            continue
        allowed = list(dict.fromkeys(run.chosen[other] for run in with_it))
        left = [run for run in without if run.chosen.get(other) in allowed]
        if len(left) < len(without):
            when[other], without = tuple(allowed), left
    if without:
        raise SpaceError(
            f"{name!r} is asked for in a way that no choices before it tell; a name "
            f"that hangs on the values of choices was wanted; give the branches names "
            f"of their own."
        )
    return when
