"""What calls to language models may cost together, and what they have cost so far."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dux_graphs.writing import Messages, NoMoreCalls

LIMITS = ("calls", "tokens", "money", "seconds")

_CHARACTERS_A_TOKEN = 4.0  # of English and code, where a model has not answered yet
_FIRST_REPLY = 500  # tokens


class BudgetError(ValueError):
    """No budget can be made of that; the text says found, wanted and what to do."""


class BudgetSpent(NoMoreCalls):
    """Not enough is left in the budget; ends a decision, never a training."""


@dataclass
class _Seen:
    """What the calls of one model were, for an estimate of the next one."""

    replies: int = 0
    characters: int = 0
    tokens_in: int = 0
    tokens_out: int = 0


class Budget:
    """What all calls may cost together; several agents may share one.

    >>> budget = Budget(calls=2)
    >>> budget.spend(calls=2, tokens=900)
    >>> budget.exhausted()
    'the budget is used up: 2 of 2 calls'

    Attributes:
        limits: by name, of calls, tokens, money (dollars) and seconds (of decisions).
        spent: what was used of each.
    """

    def __init__(
        self,
        *,
        calls: float | None = None,
        tokens: float | None = None,
        money: float | None = None,
        seconds: float | None = None,
    ) -> None:
        """Limit what is given.

        Raises:
            BudgetError: a limit is no number above 0.
        """
        given = {"calls": calls, "tokens": tokens, "money": money, "seconds": seconds}
        self.limits: dict[str, float] = {}
        for name, value in given.items():
            if value is None:
                continue
            if not _is_number(value) or not value > 0:
                raise _no_limit(name, value)
            self.limits[name] = value
        self.spent: dict[str, float] = dict.fromkeys(LIMITS, 0)
        self._seen: dict[str, _Seen] = {}
        self._lock = threading.Lock()

    @classmethod
    def of(cls, budget: Budget | int | Mapping[str, float] | None) -> Budget:
        """A number of calls, limits by name, None for no limit, or a budget as it is.

        Raises:
            BudgetError: it is something else.
        """
        if isinstance(budget, Budget):
            return budget
        if budget is None:
            return cls()
        if isinstance(budget, int) and not isinstance(budget, bool):
            budget = {"calls": budget}
        if not isinstance(budget, Mapping):
            raise BudgetError(
                f"budget is {budget!r}; a number of calls or a dict with any of "
                f"{', '.join(LIMITS)} was wanted; pass budget={{'tokens': 100_000}}."
            )
        for name, value in budget.items():
            if name not in LIMITS or value is None:
                raise _no_limit(name, value)
        return cls(**budget)

    def exhausted(self) -> str | None:
        """Which limit is reached, as a sentence; None while there is something left."""
        for name, limit in self.limits.items():
            if self.spent[name] >= limit:
                return f"the budget is used up: {self._spent_of(name)}"
        return None

    def _spent_of(self, name: str) -> str:
        spent = amount(name, self.spent[name]).removesuffix(f" {name}")
        return f"{spent} of {amount(name, self.limits[name])}"

    def require(
        self,
        estimate: Mapping[str, float] | None = None,
        going_on: Mapping[str, float] | None = None,
    ) -> None:
        """See to it that there is room for one more call.

        Args:
            estimate: what it may use, by the names of the limits.
            going_on: what calls may use that are being made.

        Raises:
            BudgetSpent: there is not.
        """
        reason = self.exhausted()
        if reason is not None:
            raise BudgetSpent(reason)
        for name, wanted in (estimate or {}).items():
            limit = self.limits.get(name)
            spent = self.spent[name] + (going_on or {}).get(name, 0)
            if limit is not None and spent + wanted > limit:
                raise BudgetSpent(
                    f"the budget is used up: the next call may use "
                    f"{amount(name, wanted)}, and {self._spent_of(name)} are spent"
                )

    def spend(
        self,
        *,
        calls: float = 0,
        tokens: float = 0,
        money: float = 0.0,
        seconds: float = 0.0,
    ) -> None:
        """Count what was used."""
        used = {"calls": calls, "tokens": tokens, "money": money, "seconds": seconds}
        with self._lock:
            for name, amount_used in used.items():
                self.spent[name] += amount_used

    def expected(self, model: str, messages: Messages) -> dict[str, int]:
        """Tokens of a call that is not made yet, by the calls of before.

        Args:
            model: name of the one that would be asked.
            messages: what it would be asked.
        """
        characters = sum(len(message["content"]) for message in messages)
        return self.expected_of(model, characters)

    def expected_of(self, model: str, characters: int) -> dict[str, int]:
        """The same of a prompt that is so many characters long."""
        seen = self._seen.get(model, _Seen())
        a_token = _CHARACTERS_A_TOKEN
        if seen.tokens_in:
            a_token = max(0.1, seen.characters / seen.tokens_in)
        going = math.ceil(characters / a_token)
        coming = _FIRST_REPLY
        if seen.replies:
            coming = math.ceil(seen.tokens_out / seen.replies)
        told = {"input_tokens": going, "output_tokens": coming}
        return told | {"total_tokens": going + coming}

    def usual(self, model: str, characters: int) -> dict[str, int]:
        """Tokens of a call as they have been, or of a prompt of that length."""
        seen = self._seen.get(model)
        if seen is not None:
            characters = max(characters, seen.characters // seen.replies)
        return self.expected_of(model, characters)

    def learn(self, model: str, characters: int, usage: Mapping[str, float]) -> None:
        """What a call was, for the estimate of the next one."""
        with self._lock:
            seen = self._seen.setdefault(model, _Seen())
            seen.replies += 1
            seen.characters += characters
            seen.tokens_in += int(usage.get("input_tokens", 0))
            seen.tokens_out += int(usage.get("output_tokens", 0))

    def state_dict(self) -> dict[str, Any]:
        """What was spent, and what calls were like, as plain data."""
        seen = {name: list(vars(each).values()) for name, each in self._seen.items()}
        return {**self.spent, **({"seen": seen} if seen else {})}

    def prepare(self, state: Mapping[str, Any]) -> Callable[[], None]:
        """Read what `state_dict` gave; what is returned makes it go on from there.

        Raises:
            LookupError, TypeError, ValueError: it was not given by it.
        """
        held = dict(state)
        seen = {
            str(name): _Seen(*(_count(number) for number in numbers))
            for name, numbers in dict(held.pop("seen", {})).items()
        }
        spent: dict[str, float] = {}
        for name, value in {**dict.fromkeys(LIMITS, 0), **held}.items():
            if name not in LIMITS or not _is_number(value) or value < 0:
                raise ValueError(f"it has spent {str(value)[:40]!r} {str(name)[:40]}")
            spent[name] = value

        def take_over() -> None:
            self.spent, self._seen = spent, seen

        return take_over


def _no_limit(name: Any, value: Any) -> BudgetError:
    return BudgetError(
        f"budget holds {name!r}: {value!r}; any of {', '.join(LIMITS)} with a number "
        f"above 0 was wanted; mend it or leave it out."
    )


def amount(name: str, value: float) -> str:
    """So much of a limit, for people: "20 calls", "$0.5"."""
    return f"${value:.4g}" if name == "money" else f"{value:g} {name}"


def _is_number(value: Any) -> bool:
    # NaN alone is unlike itself, and an int may be too long for a float.
    return type(value) in (int, float) and value == value


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**53:
        raise ValueError(f"it has counted {str(value)[:40]!r}")
    return value
