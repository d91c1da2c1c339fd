"""One decision on a task that is named in JSON: the graph `task` of langgraph.json.

A server holds no training, so it makes one: it trains the task for some steps with its
base optimizer, asks for a rule, checks it, tries it on a copy, and trains as many steps
with it on a fresh training of its own. Nothing outlives the decision.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, count, islice
from typing import TYPE_CHECKING, Any, cast

from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime

from dux_agent.tasks.named import needs_import
from dux_graphs.decision import build_served_graph
from dux_graphs.models import chat_model, writer
from dux_graphs.state import DecisionState, Ports, PortsError

if TYPE_CHECKING:
    from dux_agent.agent import Agent
    from dux_agent.tasks.protocol import Task
    from dux_agent.training.interval_statistics import IntervalStatistics
    from dux_sandbox.findings import DryRunReport, Finding

_MOST_STEPS = 5000
_DRY_RUN_STEPS = 10


@dataclass(frozen=True)
class OnTask:
    """What the graph is told, as JSON: `{"task": "digits", "steps": 40}`.

    Attributes:
        task: a name of `dux_agent.tasks.TASKS`, or of an installed package's.
        seed: of weights, batches and of the draw of losses.
        steps: trained before the decision, and again with what it decides.
        lm: name of the chat model, as `dux_graphs.models.chat_model` takes it.
        max_attempts: tries the decision may cost.
    """

    task: str = "digits"
    seed: int = 0
    steps: int = 40
    lm: str = "offline"
    max_attempts: int = 3


def told(context: Any) -> OnTask:
    """The context, whether it is JSON or not given at all.

    Raises:
        PortsError: it is not what `OnTask` describes.
    """
    if isinstance(context, OnTask):
        return context
    wanted = ' {"task": "digits", "seed": 0, "steps": 40, "lm": "offline"}'
    try:
        made = OnTask(**(context or {}))
    except TypeError:
        raise PortsError(
            f"the graph got the context {context!r}; wanted JSON such as{wanted}"
        ) from None
    for name, least in (("seed", 0), ("steps", 1), ("max_attempts", 1)):
        value = getattr(made, name)
        if type(value) is not int or not least <= value <= _MOST_STEPS:
            raise PortsError(
                f"the graph got {name}={value!r}; wanted a whole number from {least} "
                f"to {_MOST_STEPS}, such as{wanted}"
            )
    if isinstance(made.task, str) and needs_import(made.task):
        # Whoever reaches the server may send it, and must not choose what it imports.
        raise PortsError(
            f"the graph got task={made.task!r}; wanted the name of a task that is "
            f"installed here, such as{wanted}"
        )
    for name in ("task", "lm"):
        if not isinstance(getattr(made, name), str):
            raise PortsError(
                f"the graph got {name}={getattr(made, name)!r}; wanted a text, such "
                f"as{wanted}"
            )
    return made


@dataclass
class _Training:
    """A training that has taken some steps with its base optimizer."""

    task: Task
    agent: Agent
    watch: IntervalStatistics
    batches: deque[Any]
    coming: Iterator[Any]

    def train(self, steps: int) -> None:
        """Take that many steps more."""
        parameters: list[Any] = list(self.task.model.parameters())
        for batch in islice(self.coming, steps):
            loss = self.agent.step(batch)
            self.watch.see(float(loss))
            if self.watch.norm_is_due():
                self.watch.see_gradients(parameters)
            self.batches.append(batch)


def _training(context: OnTask) -> _Training:
    from dux_agent import attach, tasks
    from dux_agent.training.interval_statistics import IntervalStatistics

    task = tasks.build(context.task, context.seed)
    agent = attach(
        task.model,
        task.base_optimizer(),
        task.objective,
        lm="offline",  # never asked: the graph asks the one that it was told
        seed=context.seed,
    )
    made = _Training(
        task,
        agent,
        IntervalStatistics(seed=context.seed, expected=context.steps),
        deque(maxlen=_DRY_RUN_STEPS),
        chain.from_iterable(map(task.train_batches, count())),
    )
    made.train(context.steps)
    return made


# The nodes of one decision look at it one after the other; none of them changes it.
@lru_cache(maxsize=1)
def _looked_at(context: OnTask) -> _Training:
    return _training(context)


def observe(context: OnTask) -> dict[str, Any]:
    """What the task's training looks like after its steps, plain data."""
    from dux_agent.live.group_options import learning_rates
    from dux_agent.training.structure import describe_model, describe_optimizer
    from dux_prompts.observation import Observation

    training = _looked_at(context)
    task, watch = training.task, training.watch
    base = task.base_optimizer()
    groups = base.param_groups
    return Observation(
        model=describe_model(task.model),
        base_optimizer=describe_optimizer(type(base).__name__, groups, base.defaults),
        step=context.steps,
        total_steps=2 * context.steps,
        interval=context.steps,
        decisions_left=0,
        loss_name=task.loss_name,
        losses=watch.draw(),
        loss_fifths=watch.losses.fifths(),
        gradient_norm=watch.norms.mean(),
        gradient_norm_fifths=watch.norms.fifths(),
        validation_losses=[[context.steps, task.evaluate("val")]],
        learning_rates=learning_rates(groups),
    ).as_dict()


@lru_cache(maxsize=4)
def _ports(context: OnTask) -> Ports:
    from dux_sandbox import check

    return Ports(
        write=writer(chat_model(context.lm, seed=context.seed)),
        check=check,
        dry_run=lambda source: dry_run_of(context, source),
        apply=lambda source: _apply(context, source),
        max_attempts=context.max_attempts,
    )


def dry_run_of(context: OnTask, source: str) -> DryRunReport:
    """Try a source for ten steps on a copy of the task's model, after its steps."""
    from dux_sandbox import dry_run

    training = _looked_at(context)
    return dry_run(
        source,
        training.task.model,
        training.agent.optimizer,
        training.task.objective,
        list(training.batches),
        _DRY_RUN_STEPS,
        seed=context.seed,
    )


def _apply(context: OnTask, source: str) -> bool | str | Finding:
    """Train on with the rule; it did well if it was never rolled back."""
    from dux_agent.live.swap import swap
    from dux_sandbox.findings import RuleFailed, SourceRejected

    training = _training(context)
    with closing(training.agent):
        live = training.agent.optimizer
        try:
            swap(live, source, losses=list(training.watch.recent))
        except SourceRejected as rejected:
            return rejected.report.findings[0]
        except RuleFailed as failed:
            return failed.finding
        training.train(context.steps)
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
