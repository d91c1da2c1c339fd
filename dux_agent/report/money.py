"""What the calls to a language model cost, where prices and tokens are known."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from dux_agent.errors import BadArgument


@dataclass(frozen=True)
class Prices:
    """Prices of a language model, dollars per million tokens.

    Raises:
        BadArgument: only one of the two is given, or one is no price.
    """

    tokens_in: float | None = None
    tokens_out: float | None = None

    def __post_init__(self) -> None:
        given = {"--price-in": self.tokens_in, "--price-out": self.tokens_out}
        for name, price in given.items():
            if price is not None and not (math.isfinite(price) and price >= 0):
                raise BadArgument(
                    f"{name} is {price}; dollars per million tokens, at least 0, were "
                    f"wanted; look them up at the provider's."
                )
        missing = [name for name, price in given.items() if price is None]
        if len(missing) == 1:
            raise BadArgument(
                f"{missing[0]} is missing; tokens that go in and tokens that come out "
                f"have prices of their own; give both or none."
            )

    @property
    def known(self) -> bool:
        """Whether there are prices."""
        return self.tokens_in is not None and self.tokens_out is not None

    def cost(self, usage: Mapping[str, float]) -> float | None:
        """What this usage costs, dollars; None where it cannot be known.

        Without prices given, what the run itself has counted.

        >>> Prices(2.0, 10.0).cost({"input_tokens": 500_000, "output_tokens": 1000})
        1.01
        """
        going, coming = usage.get("input_tokens"), usage.get("output_tokens")
        if self.tokens_in is None or self.tokens_out is None:
            return usage.get("money")
        if usage.get("calls") == 0:
            return 0.0
        # A model that does not say how many tokens it used says 0.
        if not going and not coming:
            return None
        return ((going or 0) * self.tokens_in + (coming or 0) * self.tokens_out) / 1e6


def money_text(prices: Prices, usages: Iterable[Mapping[str, float]]) -> str:
    """The sum of several usages in words; says so where it is not known."""
    usages = list(usages)
    if not prices.known and not any("money" in usage for usage in usages):
        return "unknown: no prices given"
    usages = [usage for usage in usages if prices.known or usage.get("calls") != 0]
    costs = [prices.cost(usage) for usage in usages]
    known = [cost for cost in costs if cost is not None]
    if costs and not known:
        return "unknown: the model reported no tokens"
    total = f"${math.fsum(known):,.4f}"
    if len(known) < len(costs):
        return f"at least {total}: some calls reported no tokens"
    return total
