"""A language model writes your optimizer while you train.

    import dux_agent

    agent = dux_agent.attach(model, optimizer, objective)

Names are handed out when they are first asked for, so that `import dux_agent`
loads neither torch nor langgraph.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from dux_agent.former_names import FORMER_NAMES
from dux_sandbox.former_modules import keep_former_names

if TYPE_CHECKING:
    from dux_agent.agent import Agent as Agent
    from dux_agent.attaching import attach as attach
    from dux_agent.decisions import Decision as Decision
    from dux_agent.live.optimizer import DuxOptimizer as DuxOptimizer

__version__ = "0.1.0"

_HOME = {
    "attach": "attaching",
    "Agent": "agent",
    "Decision": "decisions",
    "DuxOptimizer": "live.optimizer",
}

__all__ = ["Agent", "Decision", "DuxOptimizer", "attach"]

keep_former_names(FORMER_NAMES)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
