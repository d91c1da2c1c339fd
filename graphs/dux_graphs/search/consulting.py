"""Asks a strategy, which may be anybody's: what it says is looked at first."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

from dux_graphs.search.strategy import Attempt, Outcome, Racing, Request, Strategy
from dux_prompts.observation import Observation

logger = logging.getLogger(__name__)


class StrategyFault(Exception):
    """A strategy raised, or said what a strategy cannot say."""


def requests_of(
    strategy: Strategy,
    observation: Observation,
    archive: Sequence[Outcome],
    tries_left: int,
) -> list[Request]:
    """What it asks for in the next try; the arguments are those of `requests`.

    Raises:
        StrategyFault: it raised, or what it gave are no requests.
    """
    given = _asked("requests", strategy.requests, observation, archive, tries_left)
    if isinstance(given, Sequence) and all(isinstance(each, Request) for each in given):
        if given and given[0].beside:
            raise _unwanted("requests", "a first one that is beside another", "none")
        return list(given)
    raise _unwanted("requests", given, "a list of dux_graphs.search.strategy.Request")


def choice_of(strategy: Strategy, passed: Sequence[Attempt]) -> Attempt | None:
    """Which of those that passed it chooses; None: none of them.

    Raises:
        StrategyFault: it raised, or chose what is none of them.
    """
    if not passed:
        return None
    chosen = _asked("choose", strategy.choose, passed)
    if chosen is None or any(chosen is each for each in passed):
        return chosen  # type: ignore[no-any-return]
    raise _unwanted("choose", chosen, "one of the attempts that it was given, or None")


def variations_by(strategy: Racing, source: str, observation: Observation) -> list[str]:
    """Other forms of a source.

    Raises:
        StrategyFault: it raised, or what it gave are no texts.
    """
    given = _asked("variations", strategy.variations, source, observation)
    if isinstance(given, Sequence) and all(isinstance(each, str) for each in given):
        return list(given)
    raise _unwanted("variations", given, "a list of texts")


def tell_of(strategy: Strategy, outcome: Outcome) -> None:
    """Tell it what became of a proposal.

    Raises:
        StrategyFault: it raised.
    """
    _asked("tell", strategy.tell, outcome)


def _asked(name: str, method: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return method(*arguments)
    except Exception as error:
        logger.exception("strategy.%s() raised", name)
        raise StrategyFault(
            f"strategy.{name}() raised {type(error).__name__}: {error}"
        ) from error


def _unwanted(name: str, found: Any, wanted: str) -> StrategyFault:
    said = found if isinstance(found, str) else f"a {type(found).__name__}"
    return StrategyFault(f"strategy.{name}() gave {said}; {wanted} was wanted")
