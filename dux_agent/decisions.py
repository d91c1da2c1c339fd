"""What one pass through the graph came to, and what it may cost."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field, Strict, StrictFloat, StrictStr, TypeAdapter

from dux_agent.errors import BadArgument
from dux_agent.showing import html_table, named, one_line
from dux_graphs.read_back import read_back
from dux_graphs.state import NoMoreCalls

Verdict = Literal["applied", "kept", "failed", "rolled_back"]
# As JSON and every database holds it.
Whole = Annotated[int, Strict(), Field(ge=0, lt=2**53)]

_REASON_CHARACTERS = 160


@dataclass(repr=False)
class Decision:
    """One decision and what became of it.

    It is the one record that changes after it was made: when its rule is rolled
    back later, `verdict` becomes "rolled_back" and `reason` says why, here and in
    every other reference to it.

    Attributes:
        verdict: "applied": the source is live; "kept": no proposal passed, the
            incumbent goes on; "failed": trouble with the model, training untouched;
            "rolled_back": it was live, did harm, and everything was put back.
        source: the last proposal, or None when there was none.
        digest: its digest.
        attempts: one entry per proposal: `{"source", "digest", "stage", "findings",
            "losses"}`.
        reason: why, in one sentence; for people and for the next prompt.
        seconds: wall time of the decision, seconds.
        usage: `{"calls", "input_tokens", "output_tokens", "total_tokens"}`.
        step: step of the run at which it was asked.
        number: 1-based.
    """

    verdict: Verdict
    source: StrictStr | None = None
    digest: StrictStr | None = None
    attempts: list[dict[str, Any]] = field(default_factory=list)
    reason: StrictStr = ""
    seconds: StrictFloat = 0.0
    usage: dict[str, int] = field(default_factory=dict)
    step: Whole = 0
    number: Whole = 0

    def __repr__(self) -> str:
        told = [f"<Decision {self.number} at step {self.step}: {self.verdict}"]
        told += [each for each in (named(self.source, self.digest),) if each]
        tries = len(self.attempts)
        if tries:
            told.append(f"{tries} {'try' if tries == 1 else 'tries'}")
        told.append(f"{self.seconds:.3g} s")
        reason = one_line(self.reason, _REASON_CHARACTERS)
        return ", ".join(told) + (f"; {reason}>" if reason else ">")

    def _repr_html_(self) -> str:
        tokens = self.usage.get("total_tokens", 0)
        return html_table(
            [
                ("decision", f"{self.number}, at step {self.step}"),
                ("verdict", self.verdict),
                ("reason", one_line(self.reason, 4 * _REASON_CHARACTERS)),
                ("rule", named(self.source, self.digest)),
                ("tries", len(self.attempts)),
                ("calls, tokens", f"{self.usage.get('calls', 0)}, {tokens}"),
                ("seconds", f"{self.seconds:.3g}"),
            ]
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain data, as checkpoints hold it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Decision:
        """The decision that `as_dict` gave.

        Raises:
            ValueError: it was not given by it; a checkpoint may be anybody's.
        """
        return read_back(_DECISION, data)


_DECISION: TypeAdapter[Decision] = TypeAdapter(Decision)


class BudgetSpent(NoMoreCalls):
    """No call is left in the budget; ends a decision, never a training."""


_LIMITS = ("calls", "tokens", "seconds")


class Budget:
    """What all decisions of a run may use together: calls, tokens, seconds.

    >>> budget = Budget.of({"calls": 2})
    >>> budget.spend(calls=2, tokens=900)
    >>> budget.exhausted()
    'the budget is used up: 2 of 2 calls'
    """

    def __init__(self, limits: Mapping[str, float]) -> None:
        self.limits = dict(limits)
        self.spent: dict[str, float] = dict.fromkeys(_LIMITS, 0)
        self._closed: str | None = None

    @classmethod
    def of(cls, budget: int | Mapping[str, float] | None) -> Budget:
        """Read the argument of `attach`: a number of calls, or a dict, or None.

        Raises:
            BadArgument: another kind of value, an unknown name, not above 0.
        """
        if budget is None:
            return cls({})
        if isinstance(budget, int) and not isinstance(budget, bool):
            budget = {"calls": budget}
        if not isinstance(budget, Mapping):
            raise BadArgument(
                f"budget is {budget!r}; a number of calls or a dict with any of "
                f"{', '.join(_LIMITS)} was wanted; pass budget={{'tokens': 100_000}}."
            )
        for name, value in budget.items():
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if name not in _LIMITS or not number or not value > 0:
                raise BadArgument(
                    f"budget holds {name!r}: {value!r}; any of {', '.join(_LIMITS)} "
                    f"with a number above 0 was wanted; mend it or leave it out."
                )
        return cls(budget)

    def spent_of(self, state: Mapping[str, Any]) -> dict[str, float]:
        """What a checkpoint says was spent.

        Raises:
            LookupError, TypeError, ValueError: it does not say so.
        """
        spent: dict[str, float] = {}
        for name, value in {**self.spent, **state["budget"]}.items():
            number = type(value) in (int, float) and math.isfinite(value)
            if name not in _LIMITS or not number or value < 0:
                raise ValueError(f"it has spent {str(value)[:40]!r} {str(name)[:40]}")
            spent[name] = value
        return spent

    def exhausted(self) -> str | None:
        """Which limit is reached, as a sentence; None while there is something left."""
        if self._closed is not None:
            return self._closed
        for name, limit in self.limits.items():
            spent = self.spent[name]
            if spent >= limit:
                return f"the budget is used up: {spent:g} of {limit:g} {name}"
        return None

    def close(self, reason: str) -> None:
        """Nothing more is spent from now on, and this is why."""
        self._closed = reason

    def require(self) -> None:
        """Raise `BudgetSpent` when nothing is left."""
        reason = self.exhausted()
        if reason is not None:
            raise BudgetSpent(reason)

    def spend(self, *, calls: int = 0, tokens: int = 0, seconds: float = 0.0) -> None:
        """Count what was used."""
        self.spent["calls"] += calls
        self.spent["tokens"] += tokens
        self.spent["seconds"] += seconds
