"""One decision as a LangGraph machine: propose, static_check, dry_run, apply.

from dux_graphs.decision import Ports, build_graph, decide

graph = build_graph()
ports = Ports(write=..., check=..., dry_run=..., apply=...)
out = decide(graph, observation, ports, thread_id="run-7:500")
out["verdict"]                  # "applied", "kept" or "failed"
"""

import random
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Checkpointer, RetryPolicy

from dux_graphs.nodes import DecisionNodes
from dux_graphs.plain_states import with_plain_states
from dux_graphs.served import Served, ports_of_served
from dux_graphs.state import DecisionState, ObservationInput, Ports, PortsError
from dux_graphs.trouble import is_trouble
from dux_graphs.writing import ports_in
from dux_prompts.observation import Observation
from dux_sandbox.random_state import random_numbers_kept

__all__ = [
    "Ports",
    "PortsError",
    "build_graph",
    "build_served_graph",
    "decide",
    "graph",
]

DecisionGraph = CompiledStateGraph[Any, Any, Any, Any]

# No jitter: it would draw from the process's random numbers, which belong to training.
RETRY = RetryPolicy(
    initial_interval=1.0,
    backoff_factor=2.0,
    max_interval=30.0,
    max_attempts=4,
    jitter=False,
    retry_on=is_trouble,
)
"""Back-off for trouble with the language model: 1, 2 and 4 seconds."""


def build_graph(
    checkpointer: Checkpointer = None,
    *,
    retry: RetryPolicy = RETRY,
    approve: bool = False,
) -> DecisionGraph:
    """The graph of one decision.

    Invoke it with `{"observation": Observation(...).as_dict()}`, a config whose
    `configurable` holds a `thread_id` of its own for each decision (where there is a
    checkpointer), and `context=Ports(...)`; `decide` does that, and resumes.

    Args:
        checkpointer: any LangGraph saver; None keeps nothing. Of this graph it keeps
            plain states, see `dux_graphs.plain_states`, whatever its own serializer
            is: reading them runs no code.
        retry: how trouble with the language model is retried; its `retry_on` is
            always `dux_graphs.models.is_trouble`.
        approve: with a node `approve` between dry run and apply, in which
            `Ports.approve` is asked.

    The graph raises PortsError without a context, ObservationError without an
    observation, BriefError where a user's templates are wrong; whatever the language
    model does ends as a verdict.
    """
    return _compile(_ports, Ports, checkpointer, retry, approve=approve)


def build_served_graph(
    ports_of: Callable[[Any], Ports], context_schema: type[Any]
) -> DecisionGraph:
    """The graph for a server, where the context is JSON and no live ports can come.

    Args:
        ports_of: makes the ports of the context, whatever was sent; raises PortsError
            where nothing can be made of it.
        context_schema: a dataclass of plain values that describes the context.
    """
    return _compile(ports_of, context_schema, approve=True)


def decide(
    graph: DecisionGraph,
    observation: Observation | Mapping[str, Any],
    ports: Ports,
    thread_id: str,
) -> dict[str, Any]:
    """One decision; goes on where a crash of the same `thread_id` left it.

    Every step is on disk before the next begins (durability "sync"), so a reply that
    was paid for is not asked for twice. Python's global random numbers are left as
    they were, when called from the main thread.

    Args:
        graph: what `build_graph` returned.
        observation: how training goes.
        ports: the live callables.
        thread_id: a name of this decision, such as `run-7:500`.

    Returns:
        The final state, see `dux_graphs.state.DecisionState`.
    """
    # One thread at a time: candidates are judged in order, so that runs repeat.
    config: RunnableConfig = {
        "configurable": {"thread_id": thread_id},
        "max_concurrency": 1,
    }
    if isinstance(observation, Observation):
        observation = observation.as_dict()
    fresh: dict[str, Any] | None = {"observation": dict(observation)}
    with _training_keeps_its_random_numbers():
        if not graph.checkpointer:
            return cast(dict[str, Any], graph.invoke(fresh, config, context=ports))
        if graph.get_state(config).next:
            fresh = None
        out = graph.invoke(fresh, config, context=ports, durability="sync")
        return cast(dict[str, Any], out)


# LangGraph names its checkpoints by random numbers. They are none of training's.
_NAMES = random.Random()


@contextmanager
def _training_keeps_its_random_numbers() -> Iterator[None]:
    """Leave the process's random numbers as they were: they belong to training.

    LangGraph draws from Python's; it gets a generator of its own. What else may draw
    (a chat model, a tracer) is put back afterwards, but not beside a training that
    goes on in the main thread: that would repeat what training has drawn meanwhile.
    """
    for name, module in list(sys.modules.items()):
        if name.startswith("langgraph.") and vars(module).get("random") is random:
            vars(module)["random"] = _NAMES
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with random_numbers_kept():
        yield


def _ports(context: Any) -> Ports:
    made = "Ports(write=..., check=..., dry_run=..., apply=...)"
    return ports_in(context, Ports, made)


def _compile(
    ports_of: Callable[[Any], Ports],
    context_schema: type[Any],
    checkpointer: Checkpointer = None,
    retry: RetryPolicy = RETRY,
    *,
    approve: bool = False,
) -> DecisionGraph:
    retry = retry._replace(retry_on=is_trouble)
    nodes = DecisionNodes(ports_of, calls=retry.max_attempts, approves=approve)
    machine: Any = StateGraph(
        DecisionState, context_schema=context_schema, input_schema=ObservationInput
    )
    machine.add_node(
        "propose", nodes.propose, retry_policy=retry, destinations=("static_check", END)
    )
    machine.add_node(
        "static_check", nodes.static_check, destinations=("dry_run", "propose")
    )
    passed = "approve" if approve else "apply"
    unbuilt = ("propose", *(("approve",) if approve else ()), END)
    if approve:
        afterwards = ("apply", "propose", END)
        machine.add_node("approve", nodes.approve, destinations=afterwards)
    machine.add_node("dry_run", nodes.dry_run, destinations=(passed, "propose"))
    machine.add_node("apply", nodes.apply, destinations=unbuilt)
    machine.add_edge(START, "propose")
    saver = with_plain_states(checkpointer)
    return cast(DecisionGraph, machine.compile(checkpointer=saver))


graph = _compile(ports_of_served, Served, approve=True)
"""The graph that `langgraph.json` serves: context `{"lm": "offline"}`, see docs."""
