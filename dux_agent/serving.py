"""One decision on a task that is named in JSON: the graph `task` of langgraph.json.

A server holds no training, so it makes one: it trains the task for some steps with its
base optimizer, asks for a rule, checks it, tries it on a copy, and trains as many steps
with it on a fresh training of its own. Of all that the first training alone outlives
the decision, until one is made in another context.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, count, islice
from typing import TYPE_CHECKING, Annotated, Any, cast

from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime
from pydantic import Field, StrictInt, StrictStr, TypeAdapter

from dux_agent.tasks.named import needs_import
from dux_graphs.decision import build_served_graph
from dux_graphs.read_back import read_back
from dux_graphs.served import Served, ports_of_context
from dux_graphs.state import DecisionState, Ports, PortsError

if TYPE_CHECKING:
    from dux_agent.agent import Agent
    from dux_agent.training.training import Training
    from dux_sandbox.findings import DryRunReport, Finding

_MOST_STEPS = 5000
_DRY_RUN_STEPS = 10


@dataclass(frozen=True)
class OnTask(Served):
    """What the graph is told, as JSON: `{"task": "digits", "steps": 40}`.

    Attributes:
        task: a name of `dux_agent.tasks.TASKS`, or of an installed package's.
        seed: of weights, batches and of the draw of losses.
        steps: trained before the decision, and again with what it decides.
        lm: name of the chat model, as `dux_graphs.models.chat_model` takes it.
        max_attempts: tries the decision may cost.
        approve: a person is asked about what passed, by an interrupt.
    """

    task: StrictStr = "digits"
    seed: Annotated[StrictInt, Field(ge=0, le=_MOST_STEPS)] = 0
    steps: Annotated[StrictInt, Field(ge=1, le=_MOST_STEPS)] = 40
    max_attempts: Annotated[StrictInt, Field(ge=1, le=_MOST_STEPS)] = 3


_CONTEXT: TypeAdapter[OnTask] = TypeAdapter(OnTask)


def told(context: Any) -> OnTask:
    """The context, whether it is JSON or not given at all.

    Raises:
        PortsError: it is not what `OnTask` describes.
    """
    wanted = '{"task": "digits", "seed": 0, "steps": 40, "lm": "offline"}'
    try:
        remedy = f"pass JSON such as {wanted}"
        made = read_back(_CONTEXT, context or {}, remedy=remedy)
    except ValueError as fault:
        raise PortsError(f"the context of the graph: {fault}") from None
    if needs_import(made.task):
        # Whoever reaches the server may send it, and must not choose what it imports.
        raise PortsError(
            f"the graph got task={made.task!r}; wanted the name of a task that is "
            f"installed here, such as {wanted}"
        )
    return made


@dataclass
class _OfTask:
    """A task's training that has taken some steps with its base optimizer."""

    agent: Agent
    batches: Iterator[Any]

    def train(self, steps: int) -> None:
        """Take that many steps more."""
        for batch in islice(self.batches, steps):
            self.agent.step(batch)


def _begin(context: OnTask) -> _OfTask:
    from dux_agent import tasks
    from dux_agent.attaching import attach

    task = tasks.build(context.task, context.seed)
    agent = attach(
        task.model,
        task.base_optimizer(),
        task.objective,
        lm="offline",  # never asked: the graph asks the one that it was told
        validate=lambda model: task.evaluate("val"),
        total_steps=2 * context.steps,
        steps_per_epoch=context.steps,
        dry_run_steps=_DRY_RUN_STEPS,
        loss_name=task.loss_name,
        seed=context.seed,
    )
    begun = _OfTask(agent, chain.from_iterable(map(task.train_batches, count())))
    begun.train(context.steps)
    return begun


# The nodes of one decision look at it one after the other; none of them changes it.
@lru_cache(maxsize=1)
def _looked_at(context: OnTask) -> Training:
    return _begin(context).agent.training


def observe(context: OnTask) -> dict[str, Any]:
    """What the task's training looks like after its steps, plain data."""
    from dux_agent.training.prompt_history import PromptHistory

    history = PromptHistory("compressed", 0)
    return _looked_at(context).observation(1, history, None).as_dict()


@lru_cache(maxsize=4)
def _ports(context: OnTask) -> Ports:
    return ports_of_context(
        context,
        seed=context.seed,
        dry_run=lambda source: dry_run_of(context, source),
        apply=lambda source: _apply(context, source),
    )


def dry_run_of(context: OnTask, source: str) -> DryRunReport:
    """Try a source for ten steps on a copy of the task's model, after its steps."""
    return _looked_at(context).dry_run(source, steps=_DRY_RUN_STEPS, seed=context.seed)


def _apply(context: OnTask, source: str) -> bool | str | Finding:
    """Train on with the rule; it did well if it was never rolled back."""
    from dux_agent.live.swap import swap
    from dux_sandbox.findings import RuleFailed, SourceRejected

    begun = _begin(context)
    with closing(begun.agent) as agent:
        live = agent.optimizer
        try:
            swap(live, source, losses=list(agent.training.statistics.recent))
        except SourceRejected as rejected:
            return rejected.report.findings[0]
        except RuleFailed as failed:
            return failed.finding
        begun.train(context.steps)
        return live.running.source == source or "it did harm and was rolled back"


def _observe(state: DecisionState, runtime: Runtime[Any]) -> dict[str, Any]:
    return {"observation": observe(told(runtime.context))}


def _build() -> Any:
    decision = build_served_graph(lambda context: _ports(told(context)), OnTask)
    machine: Any = StateGraph(DecisionState, context_schema=OnTask)
    machine.add_node("train", _observe)
    machine.add_node("decide", decision)
    machine.add_edge(START, "train")
    machine.add_edge("train", "decide")
    machine.add_edge("decide", END)
    return machine.compile()


graph = cast(Any, _build())
"""The graph that langgraph.json serves as `task`."""
