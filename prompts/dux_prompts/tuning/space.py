"""A space of hyperparameters as plain data: words, checks, draws, the unit cube."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator, Mapping
from typing import Any

from dux_prompts.tuning.choice import Choice
from dux_prompts.tuning.defined_by_run import space_by_running
from dux_prompts.tuning.hyperparameters import Hyperparameter
from dux_prompts.tuning.number import Number
from dux_prompts.tuning.program import SOURCE, Program, program_in, same_text
from dux_prompts.tuning.values import DIGITS, SpaceError, when_of
from dux_sandbox.findings import Finding, digest_of

Config = dict[str, Any]
"""Name -> value, in the space's order and types; without what is not in use."""


class Space(Mapping[str, Hyperparameter]):
    """Hyperparameters by name, those that others depend on first.

    >>> from dux_prompts.tuning.hyperparameters import one_of, real
    >>> space = Space({"kind": one_of("a", "b"), "c": real(0, 1, when={"kind": "b"})})
    >>> space.start(), [f.message for f in space.problems({"kind": "b"})]
    ({'kind': 'a'}, ["'c' is missing"])
    """

    def __init__(self, hyperparameters: Mapping[str, Hyperparameter]) -> None:
        """Them by name.

        Raises:
            SpaceError: there is none, one is something else, or a condition names what
                does not stand before it.
        """
        if not isinstance(hyperparameters, Mapping) or not hyperparameters:
            raise SpaceError(
                f"the space is {hyperparameters!r}; a dict of names and "
                f"hyperparameters was wanted; pass for instance "
                f"{{'lr': dux_agent.real(1e-5, 1, log=True)}}."
            )
        self._held: dict[str, Hyperparameter] = {}
        for name, each in hyperparameters.items():
            if not isinstance(name, str) or not name:
                raise SpaceError(f"a name is {name!r}; a text was wanted; pass one.")
            if not isinstance(each, Number | Choice):
                raise SpaceError(
                    f"{name!r} is {each!r}; real(...), whole(...) or one_of(...) of "
                    f"dux_agent was wanted; write it so."
                )
            for other, values in each.when.items():
                if other not in self._held:
                    raise SpaceError(
                        f"{name!r} is used when {other!r} is {values!r}; a name that "
                        f"stands before it was wanted; put {other!r} first."
                    )
            self._held[name] = each
        if self.is_code and list(self._held) != [SOURCE]:
            raise SpaceError(
                f"the space is {list(self._held)!r}, a program among them; a program "
                f"alone was wanted, called {SOURCE!r}; leave the others out."
            )

    @property
    def is_code(self) -> bool:
        """Whether programs are tuned, and not numbers."""
        return any(isinstance(each, Program) for each in self._held.values())

    def __getitem__(self, name: str) -> Hyperparameter:
        return self._held[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._held)

    def __len__(self) -> int:
        return len(self._held)

    @classmethod
    def of(cls, given: Any) -> Space:
        """A space, or a dict as one, or what a function asks for as it runs.

        Raises:
            SpaceError: it is none.
        """
        if callable(given) and not isinstance(given, Mapping):
            given = space_by_running(given)
        return given if isinstance(given, Space) else cls(given)

    def as_dict(self) -> dict[str, Any]:
        """Plain data, as a run folder holds it."""
        return {name: each.as_dict() for name, each in self._held.items()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Mapping[str, Any]]) -> Space:
        """The space that `as_dict` gave.

        Raises:
            SpaceError: it was not given by it.
        """
        held: dict[str, Hyperparameter] = {}
        try:
            for name, each in data.items():
                when = when_of(each["when"])
                if each["kind"] == "program":
                    held[name] = Program()
                    continue
                if each["kind"] == "one_of":
                    held[name] = Choice(tuple(each["choices"]), each["default"], when)
                    continue
                ends = each["low"], each["high"], bool(each["log"])
                whole = each["kind"] == "whole"
                held[name] = Number(whole, *ends, each["step"], each["default"], when)
        except (LookupError, TypeError, AttributeError) as error:
            raise SpaceError(
                f"a space cannot be read: {error!r}; what Space.as_dict() gave was "
                f"wanted; restore it."
            ) from None
        return cls(held)

    def in_use(self, name: str, config: Mapping[str, Any]) -> bool:
        """Whether a hyperparameter is used beside these values of the others."""
        return all(
            other in config and any(config[other] == value for value in values)
            for other, values in self._held[name].when.items()
        )

    def problems(self, config: Any, *, free: bool = False) -> list[Finding]:
        """What is wrong with a configuration, said so that a model can mend it.

        Args:
            free: only types and signs count, and not ranges.
        """
        if not isinstance(config, Mapping):
            what = f"a configuration is a JSON object, not {type(config).__name__}"
            return [Finding("reply", None, what, "one JSON object")]
        known = ", ".join(self._held)
        found = [
            Finding("unknown", None, f"{str(name)[:80]!r} is no hyperparameter", known)
            for name in config
            if name not in self._held
        ]
        sound: Config = {}
        for name, each in self._held.items():
            if not self.in_use(name, sound):
                continue
            if name not in config:
                wanted = each.words(free)
                found.append(Finding("missing", None, f"{name!r} is missing", wanted))
                continue
            if isinstance(each, Program):
                found += each.findings(config[name])
                continue
            problem = each.problem(config[name], free=free)
            if problem is None:
                sound[name] = each.typed(config[name])
            else:
                said, instead = problem
                found.append(Finding("value", None, f"{name!r} {said}", instead))
        return found

    def typed(self, config: Mapping[str, Any]) -> Config:
        """A configuration without problems, in order and types, of what is in use."""
        held: Config = {}
        for name, each in self._held.items():
            if self.in_use(name, held):
                held[name] = each.typed(config[name])
        return held

    def draw(self, rng: random.Random) -> Config:
        """One configuration, each value uniform on its scale."""
        held: Config = {}
        for name, each in self._held.items():
            if self.in_use(name, held):
                held[name] = each.draw(rng)
        return held

    def start(self) -> Config:
        """The defaults; where there are none the middle of the scale, or the first."""
        held: Config = {}
        for name, each in self._held.items():
            if self.in_use(name, held):
                held[name] = each.start
        return held

    @property
    def default(self) -> Config | None:
        """The defaults, where each of those in use has one."""
        start = self.start()
        known = all(self._held[name].default is not None for name in start)
        return start if known else None

    def key_of(self, config: Mapping[str, Any]) -> str:
        """As `key_of`; programs are equal where they differ in layout alone."""
        if self.is_code:
            return same_text(str(config[SOURCE]))
        return key_of(config)

    @property
    def size(self) -> float:
        """How many configurations there are, at most."""
        return math.prod(each.size for each in self._held.values())


def digest_in(config: Mapping[str, Any]) -> str:
    """What names a configuration in a trace: of a program the digest of its source."""
    return digest_of(program_in(config) or key_of(config))


def key_of(config: Mapping[str, Any]) -> str:
    """The same text for configurations that are equal to four significant digits."""
    held = {
        name: float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value
        for name, value in sorted(config.items())
    }
    return json.dumps(held, sort_keys=True, default=repr)
