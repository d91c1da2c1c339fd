"""Runs the graph for an agent, and goes on where a run that died had left it."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dux_agent.deciding.live_ports import DecisionPorts
from dux_agent.decisions import Decision
from dux_agent.run_folder.recorder import Recorder
from dux_agent.settings import Settings
from dux_graphs.decision import build_graph, decide
from dux_graphs.proposals import OptimizerBrief
from dux_graphs.sound_states import refuse_unsound
from dux_prompts.observation import Observation

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver
    from langgraph.types import StateSnapshot

log = logging.getLogger(__name__)


class GraphRuns:
    """The graph of one agent, a thread of its own for each decision.

    Attributes:
        resumed: the agent was loaded from a checkpoint, so its next decisions may
            have been made, and paid, by the run that died.
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
        if self._graph.checkpointer:
            state = self._left_at(thread)
            if state is None or (
                state.next and not _same(state.values.get("observation"), observation)
            ):
                # Another run left a decision half done here: a checkpointer may serve
                # many, and their names may be the same.
                thread = f"{thread}:{uuid.uuid4().hex[:12]}"
            else:
                known = self._outcome_of_the_run_before(state, observation, ports)
                if known is not None:
                    return known
        made = ports.ports(
            max_attempts=settings.max_attempts,
            candidates=settings.candidates,
            brief=OptimizerBrief(settings.prompts, settings.vocabulary),
        )
        return decide(self._graph, observation, made, thread)

    def _left_at(self, thread: str) -> StateSnapshot | None:
        """What a checkpointer keeps of a decision; None where it is not of our making.

        It is input, as a file is: a database may have been written by an older version
        or by somebody else, and none of what stands there is gone on with then.
        """
        try:
            state: StateSnapshot = self._graph.get_state(
                {"configurable": {"thread_id": thread}}
            )
            refuse_unsound(state.values)
        # Whatever LangGraph meets in a checkpoint that it did not write.
        except Exception as error:
            log.warning(
                "the decision %s that a checkpointer keeps cannot be gone on with: %s; "
                "it is made anew",
                thread,
                error,
            )
            return None
        return state

    def _outcome_of_the_run_before(
        self, state: StateSnapshot, observation: Observation, ports: DecisionPorts
    ) -> dict[str, Any] | None:
        """The outcome of this very decision, if a run that died had reached it.

        Where it had come half way, `ports` learn what that has cost, and the graph
        goes on from there.
        """
        values = dict(state.values)
        over = bool(values.get("verdict"))
        if over and not (self.resumed and _same(values["observation"], observation)):
            return None
        if not over and not state.next:
            return None
        ports.adopt(values, self._recorder.known_replies(observation.decision))
        if not over:
            return None
        if values["verdict"] == "applied":
            ports.inbox = values["source"]
        return values


def _same(kept: Mapping[str, Any] | None, observation: Observation) -> bool:
    """Whether two observations say the same; NaN is the same as NaN here."""
    return json.dumps(kept, sort_keys=True) == json.dumps(
        observation.as_dict(), sort_keys=True
    )
