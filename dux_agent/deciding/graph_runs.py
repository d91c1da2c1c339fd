"""Runs the graph for an agent, and goes on where a run that died had left it."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

from dux_agent.deciding.approving import approver
from dux_agent.deciding.live_ports import DecisionPorts
from dux_agent.deciding.pace import Pace
from dux_agent.deciding.recalled import Recall
from dux_agent.deciding.searching import Searching
from dux_agent.decisions import Decision
from dux_agent.run_folder.recorder import Recorder
from dux_agent.settings import Settings
from dux_graphs.approval import Approve
from dux_graphs.proposals import OptimizerBrief
from dux_graphs.search.archive import Archive
from dux_graphs.search.best_dry_run import BestDryRun
from dux_graphs.search.consulting import tell_of
from dux_graphs.search.ensemble import Ensemble, told
from dux_graphs.search.rate_race import RateRace
from dux_graphs.search.strategy import Strategy
from dux_graphs.search.successive_halving import SuccessiveHalving
from dux_graphs.sound_states import are_sound_attempts, refuse_unsound
from dux_graphs.state import Ports
from dux_graphs.step_budget import StepBudget
from dux_prompts.observation import Observation

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver
    from langgraph.types import StateSnapshot

    from dux_graphs.budget import Budget

log = logging.getLogger(__name__)


@dataclass(eq=False)
class GraphRuns:
    """The graph of one agent, a thread of its own for each decision.

    Attributes:
        checkpointer: None: the run folder's is used, if there is one.
        decisions: the agent's own row, which goes on growing.
        searching: what `attach` was given of it.
        resumed: the agent was loaded from a checkpoint, so its next decisions may
            have been made, and paid, by the run that died.
    """

    settings: Settings
    recorder: Recorder
    checkpointer: BaseCheckpointSaver[Any] | None
    decisions: Sequence[Decision]
    searching: Searching
    resumed: bool = False

    def __post_init__(self) -> None:
        """No graph is built yet."""
        settings, searching = self.settings, self.searching
        self._archive = Archive()
        self._taken: set[int] = set()  # decisions whose attempts are in it
        self._told: set[int] = set()  # and those that the strategy has heard the end of
        self._brief = OptimizerBrief(
            settings.prompts, settings.vocabulary, settings.reasoning, settings.zoo
        )
        self._strategy = searching.strategy or self._usual()
        self._ensemble: Ensemble | None = None
        if searching.by_weight:
            self._ensemble = Ensemble(
                self._strategy, searching.by_weight, settings.seed
            )
            self._strategy = self._ensemble
        self._graph: Any = None
        if searching.asked:
            _load_graphs()  # now, not on the time of the first decision

    def _usual(self) -> Strategy:
        """What is done where nobody says how to search."""
        candidates = self.settings.candidates
        if candidates > 1:
            return SuccessiveHalving(self._brief, candidates)
        if self.settings.decision_steps is not None:
            return RateRace(self._brief)
        return BestDryRun(self._brief)

    def ask(
        self, decision: Decision, observation: Observation, ports: DecisionPorts
    ) -> dict[str, Any]:
        """The graph's final state; see `dux_graphs.state.DecisionState`."""
        settings = self.settings
        if self._graph is None:
            saver = self.checkpointer
            if saver is None and self.recorder.folder is not None:
                saver = self.recorder.folder.checkpointer()
            approves = self.searching.approve is not None
            self._graph = _load_graphs().build_graph(saver, approve=approves)
        run = self.recorder.name or f"run-{settings.seed}"
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
        self._remember(decision, observation)
        made = Ports(
            **ports.ports(),
            max_attempts=settings.max_attempts,
            candidates=settings.candidates,
            brief=self._brief,
            strategy=self._strategy,
            archive=self._archive.outcomes(before=decision.number),
            dry_run_steps=settings.dry_run_steps,
            decision_steps=settings.decision_steps,
            approve=ports.asking(self._approver(decision.number, ports.wait)),
            on_event=lambda kind, data: self._tell(decision, kind, data),
        )
        decide = _load_graphs().decide
        out: dict[str, Any] = decide(self._graph, observation, made, thread)
        return out

    @property
    def step_budget(self) -> StepBudget:
        """Base steps that a decision may take, and how they are counted."""
        most, whole = self.settings.decision_steps, self.settings.dry_run_steps
        return StepBudget(most, whole, self._strategy)

    def recalled(
        self, observation: Observation, budget: Budget, pace: Pace | None
    ) -> Observation:
        """See `dux_agent.deciding.recalled.Recall.onto`."""
        window, recorder = self.settings.context_window, self.recorder
        recall = Recall(self.searching, self._brief, window, recorder, budget)
        return recall.onto(observation, pace)

    def _approver(self, number: int, wait: Callable[[float], object]) -> Approve | None:
        patience = self.settings.decision_timeout
        return approver(self.searching.approve, self.recorder, number, wait, patience)

    def standings(self) -> dict[str, Any]:
        """How each model had done before the last decision, where there are several."""
        if self._ensemble is None:
            return {}
        return told(self._ensemble.standings(self._archive.outcomes()))

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint has to hold beside the decisions, plain data."""
        intervals = self._archive.intervals.items()
        return {"intervals": [[n, list(ls), val] for n, (ls, val) in intervals]}

    def prepare(self, state: Mapping[str, Any]) -> Callable[[], None]:
        """Read what `state_dict` gave; what is returned makes it go on from there.

        Raises:
            LookupError, TypeError, ValueError: it is damaged.
        """
        archive = Archive()
        for number, losses, validation in state.get("intervals", ()):
            read = None if validation is None else float(validation)
            archive.intervals[int(number)] = (tuple(map(float, losses)), read)

        def take_over() -> None:
            self.resumed = True
            self._archive, self._taken, self._told = archive, set(), set()

        return take_over

    def _remember(self, decision: Decision, observation: Observation) -> None:
        """Bring the archive up to date; tell the strategy of an interval that is over.

        The archive is what the trace says: an agent without a run folder has one too.
        """
        archive = self._archive
        for each in self.decisions:
            if each.number not in self._taken and are_sound_attempts(each.attempts):
                self._taken.add(each.number)
                archive.steps[each.number] = each.step
                for attempt in each.attempts:
                    archive.take(each.number, attempt)
            if each.digest and each.verdict in ("applied", "rolled_back"):
                kind = "apply" if each.verdict == "applied" else "rollback"
                end = {"verdict": each.verdict, "digest": each.digest}
                archive.hear(kind, end, step=each.step, decision=each.number)
        now = {"step": decision.step, "decision": decision.number}
        archive.hear("observation", observation.as_dict(), **now)
        for outcome in archive.lived():
            if outcome.decision not in self._told:
                self._told.add(outcome.decision)
                tell_of(self._strategy, outcome)

    def _tell(self, decision: Decision, kind: str, data: dict[str, Any]) -> None:
        """What the graph tells goes into the trace.

        But for what was applied: that is told when it has been swapped in.
        """
        if kind != "apply":
            self.recorder.event(
                kind, step=decision.step, decision=decision.number, data=data
            )

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
        known = self.recorder.known_replies(observation.decision)
        ports.adopt(values, [reply.entries() for reply in known])
        if not over:
            return None
        if values["verdict"] == "applied":
            ports.inbox = values["source"]
        return values


def _load_graphs() -> ModuleType:
    """The graph's module, which brings LangGraph: a second, where a model is asked."""
    from dux_graphs import decision

    return decision


def _same(kept: Mapping[str, Any] | None, observation: Observation) -> bool:
    """Whether two observations say the same; NaN is the same as NaN here."""
    return json.dumps(kept, sort_keys=True) == json.dumps(
        observation.as_dict(), sort_keys=True
    )
