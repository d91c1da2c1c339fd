"""A space that a function defines as it runs, as objectives of Optuna do.

def space(trial):
    if trial.suggest_categorical("kind", ["svm", "forest"]) == "svm":
        trial.suggest_float("C", 1e-3, 1e3, log=True)
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dux_prompts.tuning.choice import Choice
from dux_prompts.tuning.hyperparameters import Hyperparameter
from dux_prompts.tuning.number import Number
from dux_prompts.tuning.values import SpaceError, When

_MOST_RUNS = 512
_MOST_VALUES = 32  # of a whole number that decides what else is asked for


@dataclass
class Suggestions:
    """What such a function is handed: it notes what is asked for.

    Attributes:
        answers: choices that are to be given; the others get their first.
        deciding: names of whole numbers that are chosen as choices are.
        asked: by name, in the order in which they were asked for.
        chosen: the choices that were given.
    """

    answers: dict[str, Any] = field(default_factory=dict)
    deciding: frozenset[str] = frozenset()
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
        """As Optuna's; the middle of the scale, or the one that is to be given."""
        each = Number(True, low, high, log, None if step == 1 else step)
        value = int(self._noted(name, each))
        value = int(self.answers.get(name, value))
        if name in self.deciding:
            self.chosen[name] = value
        return value

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """As Optuna's; the choice that is to be given."""
        value = self._noted(name, Choice(tuple(choices)))
        self.chosen[name] = value = self.answers.get(name, value)
        return value

    def _noted(self, name: str, each: Hyperparameter) -> Any:
        if self.asked.setdefault(name, each) != each:
            raise _of_two_kinds(name)
        return each.start


def space_by_running(
    function: Callable[[Suggestions], object],
) -> dict[str, Hyperparameter]:
    """The hyperparameters of a function, each with the choices it depends on.

    It is run once for each way through its choices, and through its whole numbers where
    the ends of their ranges lead to other names, as a number of layers does.

    Raises:
        SpaceError: it raises, asks for nothing, has too many ways, asks for one name in
            two manners, or what it asks for hangs on more than the values of choices
            and whole numbers.
    """
    deciding: frozenset[str] = frozenset()
    while True:
        runs = _ways(function, deciding)
        further = frozenset(_further(function, runs, deciding))
        if not further:
            break
        deciding |= further
    found: dict[str, Hyperparameter] = {}
    for run in runs:
        for name, each in run.asked.items():
            if found.setdefault(name, each) != each:
                raise _of_two_kinds(name)
    return {name: replace(e, when=_when(name, runs)) for name, e in found.items()}


def _ways(
    function: Callable[[Suggestions], object], deciding: frozenset[str]
) -> list[Suggestions]:
    """One run for each way through the choices."""
    runs: list[Suggestions] = []
    ways: list[dict[str, Any]] = [{}]
    seen: set[str] = set()
    while ways:
        run = _run(function, ways.pop(0), deciding)
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
            elif name in deciding:
                values = range(int(each.low), int(each.high) + 1, int(each.step or 1))
                ways += [run.chosen | {name: value} for value in values]
    return runs


def _further(
    function: Callable[[Suggestions], object],
    runs: Sequence[Suggestions],
    deciding: frozenset[str],
) -> Iterator[str]:
    """Whole numbers whose ends lead to other names than their middle does."""
    for run in runs:
        for name, each in run.asked.items():
            if isinstance(each, Choice) or not each.whole or name in deciding:
                continue
            if each.size > _MOST_VALUES:
                continue
            for end in (each.low, each.high):
                other = _run(function, run.chosen | {name: int(end)}, deciding)
                if other.asked.keys() != run.asked.keys():
                    yield name


def _run(
    function: Callable[[Suggestions], object],
    answers: dict[str, Any],
    deciding: frozenset[str],
) -> Suggestions:
    run = Suggestions(answers, deciding)
    try:
        function(run)
    except SpaceError:
        raise
    except Exception as error:  # whatever a function of somebody's raises
        raise SpaceError(
            f"the function of the space raised {type(error).__name__}: {error}; one "
            f"that takes a trial and asks it for values was wanted; mend it."
        ) from None
    return run


def _of_two_kinds(name: str) -> SpaceError:
    return SpaceError(
        f"{name!r} is asked for with one range here and another there; the same one "
        f"was wanted; give the branches names of their own."
    )


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
