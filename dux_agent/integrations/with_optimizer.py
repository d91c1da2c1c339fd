"""An agent's state in its optimizer's: a framework that saves one saves both."""

from typing import Any

from dux_agent.agent import Agent
from dux_agent.attached import is_replaced
from dux_agent.integrations.news import DecisionNews
from dux_agent.live.base_state import state_of_base
from dux_sandbox.random_state import random_numbers_kept

_KEY = "dux_agent"


class SavedWithOptimizer:
    """From now on `agent.optimizer.state_dict()` holds the agent, under its own key.

    Beside it stand state and groups of the base optimizer, so that what was saved loads
    into one where there is no agent: torch passes over the key. Loading it goes on from
    the agent, without its random numbers: frameworks put back their own. Both are the
    affair of another agent once one was attached to the same optimizer.
    """

    def __init__(self, agent: Agent, news: DecisionNews) -> None:
        """Hook into saves and loads of the live optimizer.

        Args:
            news: is told that the decisions of a loaded agent are not new.
        """
        self._agent, self._news = agent, news
        self._inside = False
        self._loaded: Any = None
        live = agent.optimizer
        live.register_state_dict_post_hook(self._saved)
        live.register_load_state_dict_pre_hook(self._found)
        live.register_load_state_dict_post_hook(self._take_over)

    def _saved(self, live: Any, packed: dict[str, Any]) -> dict[str, Any] | None:
        if self._inside or is_replaced(self._agent):
            return None
        self._inside = True  # the agent asks for the live optimizer's state too
        try:
            return {**state_of_base(live), _KEY: self._agent.state_dict()}
        finally:
            self._inside = False

    def _found(self, live: Any, packed: dict[str, Any]) -> dict[str, Any] | None:
        if _KEY not in packed or is_replaced(self._agent):
            return None
        rest = dict(packed)
        self._loaded = rest.pop(_KEY)
        return rest

    def _take_over(self, live: Any) -> None:
        loaded, self._loaded = self._loaded, None
        if loaded is None:
            return
        with random_numbers_kept():
            self._agent.load_state_dict(loaded)
        self._news.skip()
