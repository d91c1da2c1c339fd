"""One trial of a study as a LangGraph machine: propose, check, evaluate.

from dux_graphs.tuning.graph import build_graph, run_trial

out = run_trial(build_graph(), {"view": view.as_dict()}, TrialPorts(...))
out["config"], out["outcome"]
"""

from typing import Any, cast

from langgraph.graph import END, START, StateGraph
from langgraph.types import RetryPolicy

from dux_graphs.decision import RETRY, DecisionGraph
from dux_graphs.trouble import is_trouble
from dux_graphs.tuning.nodes import TrialNodes
from dux_graphs.tuning.state import TrialInput, TrialPorts, TrialState
from dux_graphs.writing import ports_in


def build_graph(*, retry: RetryPolicy = RETRY) -> DecisionGraph:
    """The graph of one trial.

    It keeps nothing: a study goes on from its trace, which holds every reply.

    Args:
        retry: how trouble with the language model is retried.
    """
    retry = retry._replace(retry_on=is_trouble)
    nodes = TrialNodes(_ports, calls=retry.max_attempts)
    machine: Any = StateGraph(
        TrialState, context_schema=TrialPorts, input_schema=TrialInput
    )
    machine.add_node(
        "propose",
        nodes.propose,
        retry_policy=retry,
        destinations=("check", "propose", "evaluate", END),
    )
    machine.add_node("check", nodes.check, destinations=("propose", "evaluate"))
    machine.add_node("evaluate", nodes.evaluate, destinations=(END,))
    machine.add_edge(START, "propose")
    return cast(DecisionGraph, machine.compile())


def run_trial(graph: DecisionGraph, begin: TrialInput, ports: TrialPorts) -> TrialState:
    """One trial, to its end.

    Args:
        graph: what `build_graph` returned.
        begin: what is known.
        ports: the live callables.
    """
    # Each try takes two steps of LangGraph's, and it counts them.
    config: Any = {"recursion_limit": 4 * ports.max_attempts + 8}
    return cast(TrialState, graph.invoke(begin, config, context=ports))


def _ports(context: Any) -> TrialPorts:
    made = "TrialPorts(write=..., check=..., draw=..., brief=...)"
    return ports_in(context, TrialPorts, made)
