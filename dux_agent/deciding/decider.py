"""One decision after another: observation, graph, swap, and what is told of it."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from dux_agent.deciding.background import BackgroundWork
from dux_agent.deciding.building import Builder
from dux_agent.deciding.burden import reaching
from dux_agent.deciding.going_live import go_live
from dux_agent.deciding.graph_runs import GraphRuns
from dux_agent.deciding.live_ports import DecisionPorts
from dux_agent.deciding.nothing_to_try import nothing_to_try, say
from dux_agent.deciding.outcome import apply_event, failed, moves_by_itself
from dux_agent.deciding.pace import Pace
from dux_agent.deciding.pending import Pending
from dux_agent.deciding.regret import Regret, on_probation
from dux_agent.deciding.rules_in_force import RulesInForce
from dux_agent.deciding.run_cost import RunCost, run_cost
from dux_agent.deciding.searching import Searching
from dux_agent.deciding.thought import Thought, shared
from dux_agent.deciding.together import Together
from dux_agent.deciding.trials import Trials
from dux_agent.decisions import Decision
from dux_agent.live.swap import SwapRecord
from dux_agent.run_folder.events import RollbackEvent
from dux_agent.run_folder.recorder import Recorder
from dux_agent.run_folder.watchers_word import PAUSED
from dux_agent.training.prompt_history import PromptHistory
from dux_agent.training.training import Training
from dux_graphs.budget import Budget
from dux_graphs.events import ErrorEvent, ObservationEvent
from dux_graphs.redaction import hide_secrets_of
from dux_prompts.observation import Observation
from dux_sandbox.process.ahead import nothing_lingers

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver

_CLOSED = "the agent was closed first"


class Decider:
    """Makes the decisions of one agent.

    Attributes:
        pace: of the run that is replayed; None: none is.
        step_budget: how base steps of a decision are counted, and limited.
    """

    def __init__(
        self,
        training: Training,
        builder: Builder,
        rules: RulesInForce,
        recorder: Recorder,
        *,
        budget: Budget,
        checkpointer: BaseCheckpointSaver[Any] | None,
        searching: Searching,
        together: Together,
    ) -> None:
        """Nothing was decided yet.

        Args:
            training: what the decisions are on.
            builder: of the rules that go live.
            rules: those of earlier decisions.
            recorder: hears of all that happens.
            budget: of all decisions together.
            checkpointer: of the graph; None: the run folder's, if there is one.
            searching: who is asked for proposals, and how.
            together: the ranks that decide as one.
        """
        self._together = together
        self._training, self._settings = training, training.settings
        self._live = training.live
        self._rules, self._decisions = rules, rules.decisions
        self._prompt_history = PromptHistory(
            self._settings.history, self._settings.history_characters
        )
        self._asked = searching.asked
        self._budget = budget
        for each in self._asked:
            hide_secrets_of(each.chat)
        self._recorder = recorder
        self._builder = builder
        self._searching = searching
        self._graph = GraphRuns(
            self._settings, recorder, checkpointer, self._decisions, searching
        )
        self.step_budget = self._graph.step_budget
        self._trials = Trials(
            training,
            builder,
            rules,
            recorder,
            history=self._prompt_history,
            budget=budget,
            searching=searching,
        )
        self._pending: Pending | None = None
        self.pace: Pace | None = None

    def decide(self) -> Decision:
        """One decision on this thread."""
        decision, began = self._next(), time.perf_counter()
        thought = shared(
            self._together, self._training, decision, self._think, self._stop
        )
        decision.reason = thought.reason
        decided = thought if thought.observed else None
        return self._conclude(decision, decided, thought.out, began)

    def _think(
        self, decision: Decision
    ) -> tuple[DecisionPorts | None, Mapping[str, Any]]:
        """Ask and try out; what the graph came to, which is not live yet."""
        observation = self._observe(decision)
        if observation is None:
            return None, {}
        ports = self._trials.ports(decision.number)
        try:
            return ports, self._graph.ask(decision, observation, ports)
        except Exception as error:
            return ports, failed(error, ports)

    def _stop(self, because: str = "a rank is gone") -> None:
        """Nobody waits for what the language models say."""
        self._trials.give_up(because)

    def begin(self) -> Decision:
        """One decision in a thread; what is returned is filled in when it is over."""
        if self._pending is not None:
            return self._pending.decision
        decision, began = self._next(), time.perf_counter()
        observation = self._observe(decision)
        if observation is None:
            return self._conclude(decision, None, {}, began)
        work = BackgroundWork(lambda: self._graph.ask(decision, observation, ports))
        ports = self._trials.ports(decision.number, work.run_on_training_thread)
        self._pending = Pending(decision, ports, work, began)
        self._pending.start()
        return decision

    @property
    def asks(self) -> bool:
        """Whether there is a language model to ask."""
        return bool(self._asked)

    def run_cost(self) -> RunCost | None:
        """What the calls that are left of the run may cost, where that is known."""
        step = self._training.statistics.step
        return run_cost(self._settings, self._searching, self._budget, step)

    @property
    def at_work(self) -> bool:
        """Whether a decision is being made in the background."""
        return self._pending is not None

    @property
    def waits(self) -> bool:
        """Whether something is to be done for it at the edge of a step."""
        work = None if self._pending is None else self._pending.work
        return work is not None and bool(self.pace or work.waits or work.over)

    def at_the_edge_of_a_step(self) -> None:
        """Between two steps: do errands of the thread, take over what it decided."""
        pending = self._pending
        if pending is None:
            return
        work, ports, decision = pending.work, pending.ports, pending.decision
        if self.pace is None:
            work.serve()
        elif not self.pace.keep(
            work, decision.number, self._training.statistics.step, ports.dry_runs_at
        ):
            return
        if not work.over:
            return
        self._pending = None
        try:
            self._conclude(decision, ports, pending.outcome(), pending.began)
        except BaseException as error:
            if not any(each is decision for each in self._decisions):
                pending.end("failed", f"it ended with {type(error).__name__}: {error}")
            raise

    def give_up(self, because: str) -> None:
        """Drop a decision that is being made: the agent's past is another from now on.

        It is none of its decisions. The trace has it as one that kept what was live.
        """
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.give_up(because)
            body = apply_event(pending.decision, None, None, (), ())
            self._recorder.tell_of(pending.decision, body)

    def close(self) -> None:
        """Drop a decision that is being made, and make no other."""
        self._stop(_CLOSED)
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.give_up(_CLOSED)
            self._decisions.append(pending.decision)

    def state_dict(self) -> dict[str, Any]:
        """Plain data, and the tensors of the best weights, where they are kept."""
        best = self._training.best
        return {
            "decisions": [decision.as_dict() for decision in self._decisions],
            "chronicle": self._prompt_history.state_dict(),
            "budget": self._budget.state_dict(),
            **self._graph.state_dict(),
            "reached": self._trials.regret.reached,
            "proved": self._trials.regret.proved,
            "validations": [list(pair) for pair in self._training.validations],
            **({} if best is None else {"best": best.state_dict()}),
            **self._rules.state_dict(),
        }

    def prepare(self, state: Mapping[str, Any]) -> Callable[[], None]:
        """Read what `state_dict` gave; what is returned makes it go on from there.

        Call that when the rules are live again.

        Raises:
            LookupError, TypeError, ValueError, AttributeError: it is damaged.
        """
        decisions = [Decision.from_dict(each) for each in state["decisions"]]
        copy.copy(self._prompt_history).load_state_dict(state["chronicle"], decisions)
        budget_from_there = self._budget.prepare(state["budget"])
        graph_from_there = self._graph.prepare(state)
        validations = [[int(step), float(loss)] for step, loss in state["validations"]]
        # Older checkpoints hold neither.
        regret = Regret(state.get("reached"), state.get("proved", 0))
        training = self._training
        best = training.best and training.best.prepared(state.get("best") or {})
        rules_from_there = self._rules.prepare(state, decisions)

        def take_over() -> None:
            rules_from_there()
            self._prompt_history.load_state_dict(state["chronicle"], decisions)
            budget_from_there()
            graph_from_there()
            training.validations = validations
            self._trials.regret = regret
            training.best = best

        return take_over

    def _next(self) -> Decision:
        number = self._rules.next_number()
        return Decision("kept", step=self._training.statistics.step, number=number)

    def _observe(self, decision: Decision) -> Observation | None:
        """What training looks like now; None when there is nothing to decide on."""
        self._live.guard.follow()
        nothing = nothing_to_try(self._training, asks=self.asks)
        if nothing is not None:
            say(nothing, self._decisions)
            decision.reason = nothing
            return None
        new = on_probation(self._decisions, self._settings.accept)
        self._trials.regret.look(self._training.statistics, self._live, new=new)
        spent = self._trials.gone or self._budget.exhausted()
        as_recorded = self.pace is not None and decision.number in self.pace.paused
        if as_recorded or self._recorder.paused(decision.number):
            spent = PAUSED
        if spent is not None:
            decision.reason = spent
            if self._settings.keep_best:
                self._training.validation_loss()
            return None
        history, made = self._prompt_history, self._rules.last_made
        observation = self._training.observation(decision.number, history, made)
        self._trials.regret.reaches = reaching(observation, history.ended)
        observation = self._graph.recalled(observation, self._budget, self.pace)
        self._recorder.tell_of(decision, ObservationEvent(**observation.as_dict()))
        return observation

    def _conclude(
        self,
        decision: Decision,
        ports: DecisionPorts | Thought | None,
        out: Mapping[str, Any],
        began: float,
    ) -> Decision:
        """Swap where a source passed, and write down what came of the decision."""
        record: SwapRecord | None = None
        nothing_lingers()  # of short dry runs that none followed
        if ports is not None:
            decision.verdict, decision.reason = out["verdict"], out.get("reason", "")
            decision.source, decision.digest = out.get("source"), out.get("digest")
            # One that passed and could not be built has two entries; the later counts.
            attempts = out.get("attempts", ())
            ends = {(each["try"], each["candidate"]): dict(each) for each in attempts}
            decision.attempts = list(ends.values())
            decision.usage = ports.usage
            if ports.inbox is not None and decision.verdict == "applied":
                source, report = ports.inbox, ports.dry_runs.get(ports.inbox)
                self._builder.expect(report)
                together, training = self._together, self._training
                record = go_live(decision, source, report, training, together)
                if record is not None:
                    self._rules.applied(decision)
                else:
                    back = RollbackEvent(digest=decision.digest, reason=decision.reason)
                    self._recorder.tell_of(decision, back)
        decision.seconds = time.perf_counter() - began
        self._budget.spend(seconds=decision.seconds)
        self._decisions.append(decision)
        if ports is not None:
            self._prompt_history.add(decision, list(out.get("messages", ())))
        at = ports.dry_runs_at if ports and self._settings.background else ()
        moves: tuple[int, ...] = ()
        if record is not None and decision.source is not None:
            moves = moves_by_itself(decision.source, self._training, self._recorder)
        body = apply_event(decision, record, self._graph.standings() or None, at, moves)
        # Made in the background, it takes effect later than it was asked for.
        self._recorder.tell(
            body, step=self._training.statistics.step, decision=decision.number
        )
        if decision.verdict == "failed":
            trouble = ErrorEvent(error="failed", message=decision.reason)
            self._recorder.tell_of(decision, trouble)
        return decision
