"""The options of a study, checked once, plain enough for a run folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from os import PathLike
from typing import Any

from dux_agent.errors import BadArgument

SAMPLERS = ("random", "tpe", "gp", "cmaes")
_SEEDS = 1 << 32  # that the optimizers take
_MOST_SECONDS = 2_000_000  # that a system call waits
_MOST_BYTES = 1 << 62
_CHOICES: dict[str, tuple[Any, ...]] = {
    "direction": ("minimize", "maximize"),
    "history": ("compressed", "chat"),
    "then": (None, *SAMPLERS),
    "on_failure": ("fallback", "raise"),
}


@dataclass(frozen=True, kw_only=True)
class StudyPlan:
    """What one study is to do.

    Attributes:
        task: a few words on the problem, for the prompt.
        budget: evaluations; failed ones and defaults count.
        direction: "minimize" or "maximize".
        history: "compressed": each prompt has a table of the trials; "chat": the
            conversation grows.
        reasoning: a few sentences are wanted before each configuration.
        free: the model is told no ranges; only types and signs are checked.
        noise: each shown value is the measured one times a number drawn from
            `1 - noise` to `1 + noise`.
        lm_first: so many trials are the model's, then `then` goes on; None: all, or a
            third of the budget where `then` is given without `lm_share`.
        then: the optimizer that goes on, or whose proposals are overridden.
        lm_share: the share of `then`'s proposals that the model may override.
        defaults: configurations that are evaluated first.
        control: random search beside it, from the same defaults.
        workers: evaluations at a time.
        trial_seconds: an evaluation that takes longer has failed; None: no limit.
        trial_bytes: one that needs more memory has failed; None: no limit.
        max_attempts: replies that a trial may cost.
        on_failure: after so many refused replies: "fallback": a seeded draw; "raise":
            the study ends.
        lm_timeout: seconds until the first token of a reply.
        prompts: None, "paper", or a folder of templates.
        seed: of draws, noise, and the model where its provider takes one.
    """

    task: str = ""
    budget: int | None = 10
    direction: str = "minimize"
    history: str = "compressed"
    reasoning: bool = True
    free: bool = False
    noise: float = 0.0
    lm_first: int | None = None
    then: str | None = None
    lm_share: float | None = None
    defaults: tuple[Mapping[str, Any], ...] = ()
    control: bool = False
    workers: int = 1
    trial_seconds: float | None = None
    trial_bytes: int | None = None
    max_attempts: int = 3
    on_failure: str = "fallback"
    lm_timeout: float = 600.0
    prompts: str | None = None
    seed: int = 0
    model: str = field(default="offline")

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise _unmeant(
                    name, getattr(self, name), f"one of {', '.join(map(repr, choices))}"
                )
        for name in ("budget", "workers", "max_attempts"):
            value = getattr(self, name)
            if value is None and name == "budget":
                continue
            if type(value) is not int or value < 1:
                raise _unmeant(name, value, "a whole number of at least 1")
        for name in ("reasoning", "free", "control"):
            if type(getattr(self, name)) is not bool:
                raise _unmeant(name, getattr(self, name), "True or False")
        if not isinstance(self.task, str):
            raise _unmeant("task", self.task, "a text")
        if not isinstance(self.prompts, str | PathLike | None):
            raise _unmeant("prompts", self.prompts, "'paper' or a folder's path")
        if type(self.seed) is not int or not 0 <= self.seed < _SEEDS:
            raise _unmeant("seed", self.seed, "a whole number from 0 to below 2**32")
        if not _number(self.noise) or not 0 <= self.noise < 1:
            raise _unmeant("noise", self.noise, "a number from 0 to below 1")
        if self.lm_share is not None and not (
            _number(self.lm_share) and 0 <= self.lm_share <= 1
        ):
            raise _unmeant("lm_share", self.lm_share, "a number from 0 to 1")
        first = self.lm_first
        if first is not None and (type(first) is not int or first < 0):
            raise _unmeant("lm_first", first, "a whole number of at least 0")
        for name in ("trial_seconds", "lm_timeout"):
            value = getattr(self, name)
            if value is None and name == "trial_seconds":
                continue
            if not _number(value) or not 0 < value <= _MOST_SECONDS:
                words = f"a number of seconds above 0, {_MOST_SECONDS:,} at most,"
                raise _unmeant(name, value, words)
        most = self.trial_bytes
        if most is not None and (type(most) is not int or not 0 < most < _MOST_BYTES):
            raise _unmeant("trial_bytes", most, "a whole number of bytes above 0")
        self._refuse_combinations()

    def _refuse_combinations(self) -> None:
        for name in ("lm_first", "lm_share"):
            if getattr(self, name) is not None and self.then is None:
                raise BadArgument(
                    f"{name} is {getattr(self, name)!r} and nobody goes on; one of "
                    f"{', '.join(SAMPLERS)} was wanted; pass then='tpe' (--then tpe)."
                )
        if self.lm_first is not None and self.lm_share is not None:
            raise BadArgument(
                "lm_first and lm_share were given; one was wanted: trials of the model "
                "at the beginning, or a share of all; leave one out."
            )
        if self.free and self.then is not None:
            raise BadArgument(
                f"free (--space free) and then={self.then!r} were given; one of them "
                f"was wanted, since an optimizer needs ranges; leave one out."
            )

    @property
    def maximize(self) -> bool:
        """Whether higher values are better."""
        return self.direction == "maximize"

    @property
    def repeats(self) -> bool:
        """Whether the same configuration may give another value."""
        return self.noise > 0

    def facts(self) -> dict[str, Any]:
        """The options as a run folder holds them."""
        return {**asdict(self), "defaults": [dict(each) for each in self.defaults]}

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> StudyPlan:
        """The plan whose `facts` these are.

        Raises:
            BadArgument: they are none.
        """
        known = {each.name for each in fields(cls)}
        held = {name: value for name, value in facts.items() if name in known}
        held["defaults"] = tuple(held.get("defaults") or ())
        return cls(**held)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _unmeant(name: str, value: Any, wanted: str) -> BadArgument:
    return BadArgument(f"{name} is {value!r}; {wanted} was wanted; pass one.")


def bytes_of(memory: float | None) -> int | None:
    """Of a number of GiB, as --trial-memory gives it. Raises BadArgument."""
    if memory is None:
        return None
    if not 0 < memory < 2**30:
        raise BadArgument(
            f"--trial-memory is {memory}; a number of GiB above 0 was wanted; pass for "
            f"instance --trial-memory 2."
        )
    return max(1, int(memory * 2**30))
