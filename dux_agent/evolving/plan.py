"""What one search is to do: every option, and the errors of those it cannot have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from dux_agent.errors import BadArgument
from dux_agent.tasks.family.members import MEMBERS, Purpose
from dux_sandbox.zoo import entries

FAMILY = "family"
"""What stands for the tasks of the family that are for a purpose."""

ZOO = "zoo"
"""What stands for every optimizer of the zoo."""

OFFLINE = "offline"
"""The model's name where nobody is asked: the offline operators alone."""

PRICES = {"steps": 0.05, "seconds": 0.0, "bytes": 0.002, "lines": 0.0002}
"""What one more of each adds to a score, where 0.01 is one per cent of the loss.

A gradient a step beyond the first; a second of the rule's trainings; a byte that is
kept for each byte of the weights; a line of code.
"""

_PURPOSES: dict[str, Purpose] = {
    "tasks": "train",
    "validation": "validation",
    "report": "test",
}
_EXECUTIONS = ("isolated", "inline")
_COUNTS = ("budget", "workers", "islands", "finalists", "validation_seeds")


@dataclass(frozen=True)
class EvolvePlan:
    """The options of a search.

    Attributes:
        tasks: what selects, by name; "family" for its tasks of that purpose.
        validation: other tasks, which choose among the finalists.
        report: others again, on which the winners are trained once, at the end.
        start: the first population, names of the zoo; "zoo" is all of it.
        budget: evaluations of the search, and of each baseline.
        model: name of the language model, or of several, of which those are asked
            more often that win for little; "offline": the offline operators alone.
        seed: of everything that is drawn.
        workers: processes that evaluate; another number gives the same search.
        islands: populations apart from each other.
        prices: see `PRICES`.
        baselines: names of the zoo that are tuned with the same budget, or "zoo".
        finalists: of the search, and of each baseline, that are validated.
        validation_seeds, report_seeds: on each of those tasks, held back until then.
        trial_seconds: that one training, or one law, may take.
        trial_bytes: of memory that a worker may take; None: any.
        execution: where sources run, "isolated" or "inline"; "" is "isolated" where a
            language model writes, and "inline" where all is made of the zoo.
        zoo: what a language model is asked quotes sources of the zoo.
        experience: a library that `dux learn` made, for the language model.
    """

    tasks: tuple[str, ...]
    validation: tuple[str, ...] = (FAMILY,)
    report: tuple[str, ...] = (FAMILY,)
    start: tuple[str, ...] = (ZOO,)
    budget: int = 200
    model: str | tuple[str, ...] = "offline"
    seed: int = 0
    workers: int = 1
    islands: int = 4
    prices: Mapping[str, float] = field(default_factory=dict)
    baselines: tuple[str, ...] = ("adamw", "muon", ZOO)
    finalists: int = 3
    validation_seeds: int = 3
    report_seeds: int = 5
    trial_seconds: float = 60.0
    trial_bytes: int | None = None
    execution: str = ""
    zoo: bool = False
    experience: str | None = None

    def __post_init__(self) -> None:
        for name, purpose in _PURPOSES.items():
            own = [each for each in MEMBERS if MEMBERS[each].purpose == purpose]
            named = [
                one
                for each in getattr(self, name)
                for one in (own if each == FAMILY else [each])
            ]
            object.__setattr__(self, name, tuple(dict.fromkeys(named)))
        for name in ("start", "baselines"):
            object.__setattr__(self, name, tuple(dict.fromkeys(getattr(self, name))))
        self._require_models()
        object.__setattr__(self, "prices", {**PRICES, **self.prices})
        if not self.execution:
            place = "inline" if self.model == OFFLINE else "isolated"
            object.__setattr__(self, "execution", place)
        for name in (*_COUNTS, "report_seeds"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise unmeant(name, value, "a whole number of at least 1")
        if not 0 <= self.seed < 1 << 32:
            raise unmeant("seed", self.seed, "a whole number from 0 to below 2**32")
        require_trainings(self.trial_seconds, self.execution, self.prices)
        for name in ("start", "baselines"):
            unknown = {*getattr(self, name)} - {ZOO, *entries()}
            if unknown:
                words = "names that `dux zoo list` shows"
                raise unmeant(name, sorted(unknown)[0], words)
        if self.experience is not None and self.model == OFFLINE:
            words = "a language model to show it to, or no library,"
            raise unmeant("experience", self.experience, words)
        if not self.start:
            raise unmeant("start", (), "an optimizer at least")
        self._refuse_shared_tasks()

    @property
    def models(self) -> tuple[str, ...]:
        """The names of the language models, or "offline" alone."""
        return (self.model,) if isinstance(self.model, str) else self.model

    def _require_models(self) -> None:
        """See that they are names; of one in a tuple the tuple is taken away."""
        named = tuple(dict.fromkeys(self.models))
        if not named or (len(named) > 1 and OFFLINE in named):
            words = f"a model's name, or several without {OFFLINE!r},"
            raise unmeant("model", self.model, words)
        object.__setattr__(self, "model", named if len(named) > 1 else named[0])

    def _refuse_shared_tasks(self) -> None:
        seen: dict[str, str] = {}
        for name in _PURPOSES:
            if not getattr(self, name):
                raise unmeant(name, (), "a task at least")
            for task in getattr(self, name):
                member = task.partition("@")[0]
                earlier = seen.setdefault(member, name)
                if earlier != name:
                    raise BadArgument(
                        f"{task!r} is among {earlier} and {name}; different tasks to "
                        f"select, to validate and to report on were wanted, or the "
                        f"figures would be those of what was selected for; leave one "
                        f"out."
                    )

    def facts(self) -> dict[str, Any]:
        """The options as a run folder holds them."""
        return asdict(self)

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> EvolvePlan:
        """The plan whose `facts` these are. Raises BadArgument: they are none."""
        known = {each.name for each in fields(cls)}
        held: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in facts.items()
            if name in known
        }
        return cls(**held)


def tasks_in(written: Sequence[str]) -> tuple[str, ...]:
    """Names of tasks as the command line takes them: several, with commas or not."""
    return tuple(e for each in written for e in each.split(",") if e)


def require_trainings(
    trial_seconds: float, execution: str, prices: Mapping[str, float]
) -> None:
    """Raise BadArgument where one of them cannot be meant; see `EvolvePlan`."""
    if not trial_seconds > 0:
        raise unmeant("trial_seconds", trial_seconds, "seconds above 0")
    if execution not in _EXECUTIONS:
        raise unmeant("execution", execution, f"one of {', '.join(_EXECUTIONS)}")
    for name, price in prices.items():
        if name not in PRICES or not 0 <= price < 1e6:
            raise unmeant("prices", {name: price}, f"of {', '.join(PRICES)}, >= 0")


def unmeant(name: str, value: Any, wanted: str) -> BadArgument:
    """The error of an argument that cannot be meant."""
    return BadArgument(f"{name} is {value!r}; {wanted} was wanted; pass one.")
