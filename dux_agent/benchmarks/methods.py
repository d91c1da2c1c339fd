"""A method of tuning by its name, as `dux bench tune --methods` says it."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from dux_agent.benchmarks.code_digest import code_digest
from dux_agent.benchmarks.evaluations import Evaluations
from dux_agent.benchmarks.kept_rows import KeptRows, digest_of, name_of_file
from dux_agent.benchmarks.scripted_model import ScriptedModel
from dux_agent.benchmarks.study_measures import DEFAULTS
from dux_agent.errors import BadArgument
from dux_agent.tuning.plan import SAMPLERS
from dux_agent.tuning.study import Study, best_of
from dux_agent.tuning.tune import resume, tune
from dux_agent.tuning.tuner import Tuner
from dux_agent.tuning_tasks.measures import Errors

_SHARE = 0.3
_LM = "lm"
_MADE_OF = ("dux_agent.tuning", "dux_graphs.tuning", "dux_prompts.tuning")
_PACKAGES = ("optuna", "cmaes", "scipy", "torch", "numpy")

Ended = list[Errors]
"""The errors of the best so far after each evaluation."""


@dataclass(frozen=True)
class Method:
    """Who proposes.

    Attributes:
        name: "offline", "scripted", "tpe", "gp", "cmaes", "random" or a language
            model's; or one of these and an optimizer that goes on from a third of the
            budget, "offline>gp", or has a share of its proposals overridden by it,
            "offline%gp".
    """

    name: str

    @property
    def model(self) -> str:
        """Who is asked, or the optimizer that is alone."""
        return self.name.partition(">")[0].partition("%")[0]

    @property
    def optimizer(self) -> str | None:
        """Who goes on, or proposes alone."""
        if self.model in SAMPLERS:
            return self.model
        return self.name[len(self.model) + 1 :] or None

    @property
    def by_budget(self) -> bool:
        """A smaller budget is another search, and not the beginning of a larger."""
        return ">" in self.name

    @property
    def seeded(self) -> bool:
        """Another seed is another search."""
        return self.name != "offline"

    @property
    def asks(self) -> bool:
        """A language model is asked, or what stands in for one."""
        return self.model not in (*SAMPLERS, "offline")

    @property
    def title(self) -> str:
        """As a table calls it: no row is taken for a language model's that is none."""
        named = {
            "offline": "offline rule",
            "scripted": "scripted (no language model)",
            "random": "random, one search a seed",
        }
        first = named.get(self.model, self.model)
        if self.model == self.name:
            return first
        joined = ", then" if self.by_budget else f" overrides {100 * _SHARE:g} % of"
        return f"{first}{joined} {self.optimizer}"

    def options(self, evaluations: Evaluations, seed: int) -> dict[str, Any]:
        """Of the study that it is."""
        lm: Any = None if self.model in SAMPLERS else self.model
        if self.model == "scripted":
            lm = ScriptedModel(space=evaluations.space, seed=seed)
        held = {"lm": lm, "then": self.optimizer, "task": evaluations.task}
        share = {"lm_share": _SHARE} if "%" in self.name else {}
        return {**held, **share, "seed": seed}

    def check(self, evaluations: Evaluations) -> None:
        """Whether a study can be made of it, before hours are spent on others.

        Raises:
            DuxError: the name means nothing, or what it needs is not there.
        """
        if self.name.count(">") + self.name.count("%") > 1:
            raise BadArgument(
                f"a method is {self.name!r}; a model and at most one optimizer were "
                f"wanted; write for instance offline>gp."
            )
        Tuner(evaluations.space, **self.options(evaluations, 0))


def methods_of(names: Iterable[str], lm: str | None) -> tuple[Method, ...]:
    """The methods that are run, in the order of their names, each once.

    Args:
        names: as `Method` takes them, with "lm" for the model that `lm` names;
            "defaults" is a row of every table, and no search. Where a language model
            is asked the written rule is beside it, asked for or not.
        lm: a language model's name; it is asked alone where no name holds "lm".

    Raises:
        BadArgument: a name holds "lm", and there is none.
    """
    listed = list(names)
    if lm is not None and not any(Method(each).model == _LM for each in listed):
        listed.insert(0, _LM)
    found = []
    for each in listed:
        method = Method(each)
        if method.model == _LM:
            if lm is None:
                raise BadArgument(
                    f"a method is {each!r} and no language model is named; one was "
                    f"wanted; pass --lm, for instance --lm ollama:qwen3."
                )
            method = Method(lm + each[len(_LM) :])
        if each != DEFAULTS:
            found.append(method)
    if any(method.asks for method in found):
        found.append(Method("offline"))
    return tuple(dict.fromkeys(found))


def searched(
    method: Method, evaluations: Evaluations, budget: int, seed: int, rows: KeptRows
) -> Ended:
    """One search, or what is kept of it.

    Where a language model is asked the study has a run folder beside the rows: one that
    died is gone on with, and no reply is paid twice.

    Raises:
        BadArgument: its model could not be had.
    """
    key = {
        "method": method.name,
        "task": evaluations.name,
        "budget": budget,
        "seed": seed,
        "errors": evaluations.digest,
        "code": _code(),
    }
    name = f"{evaluations.name}-{method.name}-{budget}-{seed}"

    def find() -> Any:
        place = None
        if rows.folder is not None and method.asks:
            name_of_study = f"{name_of_file(name)}-{digest_of(key)}"
            place = rows.folder / "studies" / name_of_study
        study = _study(method, evaluations, budget, seed, place)
        if not study.complete:
            raise BadArgument(f"{method.name} could not be asked: {study.reason}")
        return [[_or_none(each) for each in pair] for pair in _ended(study)]

    return [
        (_or_nan(value, math.inf), _or_nan(test, math.nan))
        for value, test in rows.row(name, key, find)
    ]


@cache
def _code() -> str:
    return code_digest((*_MADE_OF, ScriptedModel.__module__), _PACKAGES)


def _study(
    method: Method,
    evaluations: Evaluations,
    budget: int,
    seed: int,
    place: Path | None,
) -> Study:
    options = method.options(evaluations, seed)
    if place is not None and (place / "run.json").is_file():
        return resume(place, evaluations, lm=options["lm"])
    return tune(evaluations, evaluations.space, budget=budget, run_dir=place, **options)


def _ended(study: Study) -> Ended:
    ended = []
    for count in range(1, len(study) + 1):
        best = best_of(study.trials[:count], False)
        held = (math.inf, math.nan)
        if best is not None and best.value is not None:
            test = best.report
            held = (best.value, test if isinstance(test, float) else math.nan)
        ended.append(held)
    return ended


def _or_none(number: float) -> float | None:
    return number if math.isfinite(number) else None


def _or_nan(number: float | None, missing: float) -> float:
    return missing if number is None else number
