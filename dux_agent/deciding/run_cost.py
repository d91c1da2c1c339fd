"""What the calls of a whole run will come to, before it starts and on the way."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from dux_agent.deciding.searching import Searching
from dux_agent.settings import Settings
from dux_graphs.budget import Budget

# Of the first prompt of a small network, where none was sent yet.
_FIRST_PROMPT = 6_000
# What a decision adds to the conversation: how training goes, and a source.
_OF_A_DECISION = 4_000


@dataclass(frozen=True)
class Range:
    """About so much at least, where each first proposal passes, and at most."""

    least: float
    most: float


@dataclass(frozen=True)
class RunCost:
    """What the calls that are left of a run may come to.

    Attributes:
        decisions: that are left.
        calls: of the models.
        tokens: of them, by the calls of before or by the length of usual prompts.
        money: dollars; None where a model has no price.
        limits: what of it the budget leaves, by name.
    """

    decisions: int
    calls: Range
    tokens: Range
    money: Range | None
    limits: dict[str, float]

    def lines(self) -> list[tuple[str, str]]:
        """Each in words, by its name."""
        money = "not known: no price of a model"
        if self.money is not None:
            money = _shown(self.money, lambda n: f"${n:.2f}", "about ")
        return [
            ("decisions of the run", f"{self.decisions:,}"),
            ("calls of the run", _shown(self.calls, lambda n: f"{n:,.0f}")),
            ("tokens of the run", _shown(self.tokens, lambda n: f"{n:,.0f}", "about ")),
            ("money of the run", money),
        ]

    def __str__(self) -> str:
        named = ((name.removesuffix(" of the run"), w) for name, w in self.lines())
        return "this run will cost: " + "; ".join(f"{w} {name}" for name, w in named)


def run_cost(
    settings: Settings, searching: Searching, budget: Budget, step: int
) -> RunCost | None:
    """What is left to be paid; None where nobody is asked, or nobody knows how often.

    Args:
        step: of the run, so far.
    """
    decisions = settings.decisions_left(step)
    if not searching.asked or decisions is None:
        return None
    names = list(searching.models)
    asked = names if searching.weights else names[:1]
    first = decisions * settings.candidates
    calls = Range(first, first * settings.max_attempts)
    talk = min(settings.history_characters, decisions * _OF_A_DECISION)
    talk = talk if settings.history == "chat" else 0
    prices = [searching.prices.price(name) for name in asked]
    short = [budget.usual(name, _FIRST_PROMPT) for name in asked]
    long = [budget.usual(name, _FIRST_PROMPT + talk) for name in asked]
    money = None
    if None not in prices:
        each = [
            [p.of(used) for p, used in zip(prices, usages, strict=True) if p]
            for usages in (short, long)
        ]
        money = Range(calls.least * min(each[0]), calls.most * max(each[1]))
    tokens = Range(
        calls.least * min(usage["total_tokens"] for usage in short),
        calls.most * max(usage["total_tokens"] for usage in long),
    )
    limits = {name: most - budget.spent[name] for name, most in budget.limits.items()}
    return RunCost(
        decisions,
        _within(calls, limits.get("calls")),
        _within(tokens, limits.get("tokens")),
        None if money is None else _within(money, limits.get("money")),
        limits,
    )


def _within(expected: Range, limit: float | None) -> Range:
    bound = math.inf if limit is None else max(0.0, limit)
    return Range(min(expected.least, bound), min(expected.most, bound))


def _shown(of: Range, words: Callable[[float], str], about: str = "") -> str:
    least, most = words(of.least), words(of.most)
    return f"{about}{least}" if least == most else f"{about}{least} to {most}"
