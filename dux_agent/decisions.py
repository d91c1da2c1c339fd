"""What one pass through the graph came to, and what it may cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, Strict, StrictFloat, StrictStr, TypeAdapter

from dux_agent.errors import BadArgument
from dux_agent.showing import html_table, named, one_line
from dux_graphs.budget import Budget as Budget
from dux_graphs.budget import BudgetError
from dux_graphs.prices import Prices, PricesError
from dux_graphs.read_back import read_back

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
        usage: `{"calls", "input_tokens", "output_tokens", "total_tokens"}` and, where
            there is a price, "money", dollars.
        step: step of the run at which it was asked.
        number: 1-based.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    verdict: Verdict
    source: StrictStr | None = None
    digest: StrictStr | None = None
    attempts: list[dict[str, Any]] = field(default_factory=list)
    reason: StrictStr = ""
    seconds: StrictFloat = 0.0
    usage: dict[str, int | float] = field(default_factory=dict)
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
        money = self.usage.get("money")
        return html_table(
            [
                ("decision", f"{self.number}, at step {self.step}"),
                ("verdict", self.verdict),
                ("reason", one_line(self.reason, 4 * _REASON_CHARACTERS)),
                ("rule", named(self.source, self.digest)),
                ("tries", len(self.attempts)),
                ("calls, tokens", f"{self.usage.get('calls', 0)}, {tokens}"),
                *([("money", f"${money:.4f}")] if money else []),
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


def prices_of(prices: Any) -> Prices:
    """The argument of `attach`: a JSON file, what stands in one, or None for ours.

    Raises:
        BadArgument: it is something else.
    """
    try:
        return Prices.of(prices)
    except (PricesError, TypeError) as error:
        raise BadArgument(str(error)) from None


def require_prices(budget: Budget, prices: Prices, models: Sequence[str]) -> None:
    """Raise BadArgument where money is limited and a model has no price."""
    unknown = [name for name in models if prices.price(name) is None]
    if "money" in budget.limits and unknown:
        raise BadArgument(
            f"the budget limits money, and no price of {unknown[0]!r} is known; one "
            f"was wanted; pass prices={{{unknown[0]!r}: {{'input': 1, 'output': 3}}}}, "
            f"dollars per million tokens (--prices FILE)."
        )


def budget_of(budget: Any) -> Budget:
    """The argument of `attach`: a number of calls, a dict, a Budget, or None.

    Raises:
        BadArgument: it is something else.
    """
    try:
        return Budget.of(budget)
    except BudgetError as error:
        raise BadArgument(str(error)) from None
