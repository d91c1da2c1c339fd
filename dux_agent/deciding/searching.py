"""How proposals are come by: what `attach` was given of it beside plain settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dux_agent.arguments import language_models, read_weights
from dux_agent.deciding.approving import Approver
from dux_agent.decisions import prices_of, require_prices
from dux_agent.errors import BadArgument
from dux_agent.experience.recalling import Experience
from dux_graphs.language_model import by_name
from dux_graphs.prices import Prices
from dux_graphs.search.strategy import Strategy

if TYPE_CHECKING:
    from dux_graphs.budget import Budget
    from dux_graphs.language_model import LanguageModel


@dataclass(frozen=True)
class Searching:
    """Who is asked, for what, at which price, and who has the last word.

    Attributes:
        asked: the language models, in the order that they are asked in.
        strategy: who is asked for what; None: as the settings say.
        weights: of the models, where each proposal is asked of one of them.
        prices: of the models.
        approve: asked about each proposal that passed; None: nobody is.
        candidates: proposals per try; 1 beside a strategy.
        experience: what other trainings have taught.

    Raises:
        BadArgument: the strategy is none, or stands beside `candidates`.
    """

    asked: tuple[LanguageModel, ...] = ()
    strategy: Strategy | None = None
    weights: Sequence[float] | None = None
    prices: Prices = field(default_factory=lambda: Prices.of(None))
    approve: Approver = None
    candidates: int = 1
    experience: Experience = field(default_factory=Experience)

    def __post_init__(self) -> None:
        require_strategy(self.strategy, self.candidates)

    @property
    def models(self) -> dict[str, LanguageModel]:
        """The models by name."""
        return by_name(self.asked)

    @property
    def by_weight(self) -> dict[str, float]:
        """The weights by the name of the model; empty where there are none."""
        return dict(zip(self.models, self.weights or (), strict=False))


def require_strategy(strategy: Any, candidates: int) -> None:
    """Raise BadArgument for what is no strategy, or stands beside `candidates`."""
    if strategy is None:
        return
    is_class = isinstance(strategy, type)
    methods = [getattr(strategy, name, None) for name in ("requests", "choose", "tell")]
    if is_class or not all(map(callable, methods)):
        said = f"a {type(strategy).__name__}"
        if is_class:
            said = f"the class {strategy.__name__} itself"
        raise BadArgument(
            f"strategy is {said}; an object with requests, choose and tell, as "
            f"dux_graphs.search.strategy.Strategy says, was wanted; pass one, or leave "
            f"it out."
        )
    if candidates != 1:
        raise BadArgument(
            f"candidates is {candidates} beside a strategy of your own; the strategy "
            f"says how many are asked for; leave one of the two out."
        )


def searching_of(
    given: Mapping[str, Any], rank: int, spending: Budget
) -> tuple[tuple[LanguageModel, ...] | None, Searching]:
    """The models to ask, or None, and how; of several ranks the first asks and pays.

    Args:
        given: the arguments of `attach`.

    Raises:
        BadArgument: one of them cannot be meant.
        LibraryUnusable: the library of experience cannot be read.
    """
    lm, fallback, options = given["lm"], given["fallback"], given["lm_options"]
    known = prices_of(given["prices"])
    if rank > 0:
        lm, fallback, options = None if lm is None else "offline", None, None
    asked = language_models(
        lm,
        fallback,
        seed=given["seed"],
        options=options,
        timeout=float(given["lm_timeout"]),
    )
    if rank == 0:
        require_prices(spending, known, [each.name for each in asked or ()])
    # The other ranks write no prompt.
    library = Experience.of(given["experience"] if rank == 0 else None)
    how = (given["approve"], given["candidates"], library)
    weights = read_weights(lm)
    return asked, Searching(asked or (), given["strategy"], weights, known, *how)
