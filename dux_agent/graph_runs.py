"""Runs the graph for an agent, and goes on where a run that died had left it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dux_agent.decisions import Decision
from dux_agent.live_ports import DecisionPorts
from dux_agent.recorder import Recorder
from dux_agent.settings import Settings
from dux_graphs.decision import build_graph, decide
from dux_prompts.observation import Observation

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver


class GraphRuns:
    """The graph of one agent, a thread of its own for each decision.

    Attributes:
        resumed: the agent has just been loaded from a checkpoint, so its next
            decision may have been made, and paid, by the run that died.
    """

    def __init__(
        self,
        settings: Settings,
        recorder: Recorder,
        checkpointer: BaseCheckpointSaver[Any] | None,
    ) -> None:
        """For `Decider`; without a checkpointer the run folder's is used, if any."""
        self._settings = settings
        self._recorder = recorder
        self._checkpointer = checkpointer
        self._graph: Any = None
        self.resumed = False

    def ask(
        self, decision: Decision, observation: Observation, ports: DecisionPorts
    ) -> dict[str, Any]:
        """The graph's final state; see `dux_graphs.state.DecisionState`."""
        settings = self._settings
        if self._graph is None:
            saver = self._checkpointer
            if saver is None and self._recorder.folder is not None:
                saver = self._recorder.folder.checkpointer()
            self._graph = build_graph(saver)
        run = self._recorder.name or f"run-{settings.seed}"
        thread = f"{run}:{decision.step}"
        known = self._already_decided(thread, observation)
        if known is not None:
            if known["verdict"] == "applied":
                ports.inbox = known["source"]
            return known
        made = ports.ports(
            max_attempts=settings.max_attempts,
            candidates=settings.candidates,
            prompts=settings.prompts,
        )
        return decide(self._graph, observation, made, thread)

    def _already_decided(
        self, thread: str, observation: Observation
    ) -> dict[str, Any] | None:
        """The outcome of this very decision, if a run that died had paid for it."""
        resumed, self.resumed = self.resumed, False
        if not resumed or not self._graph.checkpointer:
            return None
        values = self._graph.get_state({"configurable": {"thread_id": thread}}).values
        same = values.get("observation") == observation.as_dict()
        return dict(values) if same and values.get("verdict") else None
