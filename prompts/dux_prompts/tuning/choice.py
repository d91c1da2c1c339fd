"""One of a few values that are tuned: which is meant, what is wrong with one."""

import random
from dataclasses import dataclass, field
from typing import Any

from dux_prompts.tuning.values import SpaceError, When, short, shown


@dataclass(frozen=True)
class Choice:
    """One of a few values.

    Attributes:
        choices: texts, numbers, booleans or None, each once.
        default: one of them; None: not known, or the choice None.
        when: with which values of others it is used; empty: always.
    """

    choices: tuple[Any, ...]
    default: Any = None
    when: When = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.choices:
            raise SpaceError(
                "one_of() got no choice; at least one was wanted; pass the values."
            )
        for value in self.choices:
            if not isinstance(value, str | int | float | bool | None):
                raise SpaceError(
                    f"a choice is {value!r}; a text, a number, a boolean or None was "
                    f"wanted; pass a name, and look the object up in the objective."
                )
        if len({_key(value) for value in self.choices}) < len(self.choices):
            raise SpaceError(
                f"the choices are {self.choices!r}; each once was wanted; take the "
                f"second away."
            )
        if self.default is not None and self.index(self.default) is None:
            raise SpaceError(
                f"default is {self.default!r}; one of {self.choices!r} was wanted; "
                f"pick one."
            )

    def index(self, value: Any) -> int | None:
        """Which choice a value is; "Adam" is "adam" where only one reads so."""
        if not isinstance(value, str | int | float | bool | None):
            return None
        for place, choice in enumerate(self.choices):
            if _key(choice) == _key(value):
                return place
        alike = [
            place
            for place, choice in enumerate(self.choices)
            if _folded(choice) == _folded(value)
        ]
        return alike[0] if len(alike) == 1 else None

    def typed(self, value: Any) -> Any:
        """The choice that is meant; only for values without a problem."""
        place = self.index(value)
        return None if place is None else self.choices[place]

    def problem(self, value: Any, *, free: bool = False) -> tuple[str, str] | None:
        """What is wrong with a value, and what to write instead; None: nothing."""
        if self.index(value) is not None:
            return None
        return f"is {short(value)}, and no choice", self.words()

    def words(self, free: bool = False) -> str:
        """What values it takes, in words."""
        return f"one of {', '.join(shown(each) for each in self.choices)}"

    def draw(self, rng: random.Random) -> Any:
        """A choice drawn uniformly."""
        return rng.choice(self.choices)

    @property
    def start(self) -> Any:
        """The default, else the first."""
        return self.choices[0] if self.default is None else self.typed(self.default)

    @property
    def size(self) -> float:
        """How many values there are."""
        return len(self.choices)

    def as_dict(self) -> dict[str, Any]:
        """Plain data, as a run folder holds it."""
        held: dict[str, Any] = {"kind": "one_of", "choices": list(self.choices)}
        held |= {"default": self.default}
        return held | {"when": {name: list(each) for name, each in self.when.items()}}


def _key(value: Any) -> tuple[str, Any]:
    # True is 1 in Python, and another choice here.
    return ("bool" if isinstance(value, bool) else "", value)


def _folded(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip().casefold()
