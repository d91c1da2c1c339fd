"""Which agents are there, so that no two of them train the same parameters.

A notebook cell that attaches is run again, or a trainer asks for its optimizers a
second time: without this the former agent's process would live on beside the new one.
"""

import logging
from collections.abc import Collection
from typing import Any
from weakref import WeakSet

import torch

from dux_agent.agent import Agent
from dux_agent.live.optimizer import DuxOptimizer
from dux_agent.live.retiring import retire
from dux_sandbox.running import parameters_of

log = logging.getLogger(__name__)

_agents: WeakSet[Agent] = WeakSet()
_NAME = "_dux_agent"


class _Attached:
    """The agent behind an optimizer; a copy or a pickle of the optimizer has none.

    While a rule is live its options stand in the optimizer's own groups. So the agent
    is kept for as long as the optimizer: a dropped one can still take them out.
    """

    def __init__(self, agent: Agent | None = None) -> None:
        self._agent = agent

    def __call__(self) -> Agent | None:
        """The agent, if it is not a copy that is asked."""
        return self._agent

    def __reduce__(self) -> tuple[Any, ...]:
        return type(None), ()  # names nothing of ours: a pickle is read without us


def remember(agent: Agent) -> Agent:
    """One more agent; it is forgotten when nobody holds its optimizer any more."""
    _agents.add(agent)
    setattr(agent.optimizer.base, _NAME, _Attached(agent))
    return agent


def agent_of(optimizer: Any) -> Agent | None:
    """The agent whose live optimizer this is; None: it is none, or of no agent's."""
    base = optimizer.base if isinstance(optimizer, DuxOptimizer) else None
    found = getattr(base, _NAME, None)
    return found() if isinstance(found, _Attached) else None


def close_all(
    agents: Collection[Agent], exception: BaseException | None = None
) -> None:
    """Close them, whatever one raises: the first error comes out, others are its notes.

    Args:
        exception: that the caller is about to raise: all of them are notes of it.
    """
    first = exception
    for agent in agents:
        try:
            agent.__exit__(None, first)
        except Exception as trouble:
            if first is None:
                first = trouble
            else:
                first.add_note(f"As another agent was closed: {trouble!r}")
    if first is not None and first is not exception:
        raise first


def is_replaced(agent: Agent) -> bool:
    """Whether another agent was attached to its very optimizer since."""
    return agent_of(agent.optimizer) is not agent


def take_over(optimizer: torch.optim.Optimizer) -> None:
    """Close every agent over any of the parameters of `optimizer`.

    An open one is closed with a warning in the log. If it was made over this very
    optimizer, its groups hold the optimizer's own options again.
    """
    parameters = {id(each) for each in parameters_of(optimizer.param_groups)}
    for agent in list(_agents):
        its = parameters_of(agent.optimizer.param_groups)
        shared = sum(id(parameter) in parameters for parameter in its)
        if not shared or agent.closed:
            continue
        log.warning(
            "%r is closed: another agent is attached to %d of its parameters; close "
            "an agent when its training is over",
            agent,
            shared,
        )
        agent.close(because="another one was attached to the same parameters")
    former = getattr(optimizer, _NAME, None)
    agent_before = former() if isinstance(former, _Attached) else None
    if agent_before is not None:
        retire(agent_before.optimizer)
