"""A language model writes your optimizer while you train.

    import dux_agent

    agent = dux_agent.attach(model, optimizer, objective)

Names are handed out when they are first asked for, so that `import dux_agent`
loads neither torch nor langgraph.
"""

from __future__ import annotations

import random
from importlib import import_module
from typing import TYPE_CHECKING, Any

from dux_agent.former_names import FORMER_NAMES
from dux_sandbox.former_modules import keep_former_names

if TYPE_CHECKING:
    from dux_agent.agent import Agent as Agent
    from dux_agent.attaching import attach as attach
    from dux_agent.decisions import Budget as Budget
    from dux_agent.decisions import Decision as Decision
    from dux_agent.live.optimizer import DuxOptimizer as DuxOptimizer
    from dux_agent.tuning.code_study import tune_code as tune_code
    from dux_agent.tuning.study import Study as Study
    from dux_agent.tuning.study import Trial as Trial
    from dux_agent.tuning.tune import tune as tune
    from dux_agent.tuning.tuner import Tuner as Tuner
    from dux_agent.tuning_tasks.code import CodeTask as CodeTask
    from dux_prompts.tuning.hyperparameters import one_of as one_of
    from dux_prompts.tuning.hyperparameters import real as real
    from dux_prompts.tuning.hyperparameters import whole as whole

__version__ = "0.1.0"

_HOME = {
    "attach": "dux_agent.attaching",
    "Agent": "dux_agent.agent",
    "Budget": "dux_agent.decisions",
    "Decision": "dux_agent.decisions",
    "DuxOptimizer": "dux_agent.live.optimizer",
    "tune": "dux_agent.tuning.tune",
    "tune_code": "dux_agent.tuning.code_study",
    "CodeTask": "dux_agent.tuning_tasks.code",
    "Tuner": "dux_agent.tuning.tuner",
    "Study": "dux_agent.tuning.study",
    "Trial": "dux_agent.tuning.study",
    "real": "dux_prompts.tuning.hyperparameters",
    "whole": "dux_prompts.tuning.hyperparameters",
    "one_of": "dux_prompts.tuning.hyperparameters",
}

__all__ = [
    "Agent",
    "Budget",
    "CodeTask",
    "Decision",
    "DuxOptimizer",
    "Study",
    "Trial",
    "Tuner",
    "attach",
    "one_of",
    "real",
    "tune",
    "tune_code",
    "whole",
]

keep_former_names(FORMER_NAMES)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # Among all that is imported now something draws (rich does), and a loop may have
    # seeded Python's numbers already.
    numbers = random.getstate()
    try:
        return getattr(import_module(_HOME[name]), name)
    finally:
        random.setstate(numbers)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
