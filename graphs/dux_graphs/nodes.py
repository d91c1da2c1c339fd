"""The four nodes of a decision: propose, static_check, dry_run, apply."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from langgraph.graph import END
from langgraph.runtime import Runtime
from langgraph.types import Command, Overwrite, Send

from dux_graphs.approval import asked
from dux_graphs.asking import Answer, NotWritten, Spent, ask, tell
from dux_graphs.candidates import (
    attempt_of,
    candidates_of,
    said_of,
    still_passed,
    to_be_applied,
    variations_of,
)
from dux_graphs.funnel import tried
from dux_graphs.search.archive import outcomes_in
from dux_graphs.search.consulting import choice_of, requests_of
from dux_graphs.sound_states import refuse_unsound_candidate
from dux_graphs.state import CandidateState, DecisionState, Ports
from dux_graphs.step_budget import lanes_of
from dux_prompts.observation import Observation, ObservationError
from dux_prompts.reply import cleaned
from dux_sandbox.findings import Finding

logger = logging.getLogger(__name__)


class DecisionNodes:
    """What each node does, as a step of LangGraph's."""

    def __init__(
        self, ports_of: Callable[[Any], Ports], calls: int, *, approves: bool = False
    ) -> None:
        """Nodes of one graph.

        Args:
            ports_of: the Ports in the context that the graph was invoked with.
            calls: how often `propose` is run at most when the language model gives
                trouble, the first time included.
            approves: there is a node in which a person is asked.
        """
        self._after_dry_run = "approve" if approves else "apply"
        self._ports_of = ports_of
        self._calls = calls

    def propose(self, state: DecisionState, runtime: Runtime[Any]) -> Command[Any]:
        """Ask for proposals; on their way back, close a decision that is spent."""
        ports = self._ports_of(runtime.context)
        observation = _observation_of(state)
        state, reset = _fresh(state)
        tries = state.get("tries", 0)
        judged = [a for a in state.get("attempts", []) if a["try"] == tries]
        # Sent here by one candidate while others are still on trial or one has passed:
        # they will go on.
        if to_be_applied(judged) or len(judged) < state.get("awaited", 0):
            return Command()
        if tries >= ports.max_attempts:
            return Command(update=_kept(state.get("attempts", []), tries), goto=END)
        try:
            answers, messages, room = self._asked(state, ports, observation, runtime)
        except NotWritten as error:
            logger.log(error.level, "no proposal: %s", error)
            return Command(update=reset | _ended(error.verdict, str(error)), goto=END)
        refused = [a["digest"] for a in state.get("attempts", []) if a["digest"]]
        candidates = candidates_of(answers, ports, tries + 1, refused)
        candidates += variations_of(candidates, ports, observation, room)
        update = _ended("", "") | {"tries": tries + 1, "awaited": len(candidates)}
        update["messages"] = Overwrite(messages) if reset else messages
        goto = [Send("static_check", candidate) for candidate in candidates]
        return Command(update=reset | update, goto=goto)

    def _asked(
        self,
        state: DecisionState,
        ports: Ports,
        observation: Observation,
        runtime: Runtime[Any],
    ) -> tuple[list[Answer], list[dict[str, str]], int]:
        """The answers to what the strategy asks for, what the chat grew by, and how
        many sources have room in this try."""
        step, decision = observation.step, observation.decision
        own = outcomes_in(state.get("attempts", []), decision=decision, step=step)
        tries_left = ports.max_attempts - state.get("tries", 0)
        archive = [*ports.archive, *own]
        requests = requests_of(ports.searches, observation, archive, tries_left)
        if not requests:
            raise NotWritten("no proposal was written: the strategy asked for none")
        wanted = len(requests) * lanes_of(ports.searches)
        room = ports.step_budget.room(state.get("attempts", []), wanted)
        if not room:
            raise Spent(
                f"of the {ports.decision_steps} base steps of a decision too few are "
                f"left for another dry run (decision_steps)"
            )
        chat = list(state.get("messages", []))
        known = len(chat)
        system = ports.asks.system(observation)
        requests = requests[:room]
        answers = ask(ports, runtime, system, chat, requests, self._calls)
        return answers, chat[known:], room

    def static_check(
        self, state: CandidateState, runtime: Runtime[Any]
    ) -> Command[Any]:
        """Read the source without running it; refuse what was refused before."""
        ports = self._ports_of(runtime.context)
        refuse_unsound_candidate(state)
        findings = list(state["findings"])
        stage = "reply" if findings else "static_check"
        if not findings and state["digest"] in state["refused"]:
            findings = [REPEATED.as_dict()]
        told: dict[str, Any]
        if findings:
            told = {"digest": state["digest"], "ok": False, "findings": findings}
        else:
            with ports.turn:
                report = ports.check(state["source"])
            told = report.as_dict()
            findings = [finding.as_dict() for finding in report.findings]
        tell(ports, runtime, "static_check", told | said_of(state))
        if told["ok"]:
            return Command(update={"checked": [dict(state)]}, goto="dry_run")
        attempt = attempt_of(state, stage, ok=False, findings=findings)
        return Command(update={"attempts": [attempt]}, goto="propose")

    def dry_run(
        self, state: DecisionState | CandidateState, runtime: Runtime[Any]
    ) -> Command[Any]:
        """Try the sources for a few steps on a copy of the model, one by one."""
        ports = self._ports_of(runtime.context)
        held: dict[str, Any] = dict(state)
        # One proposal, as decisions that an older version left half done send it.
        checked = [held] if "number" in held else held.get("checked", [])
        tries = held.get("tries")
        candidates: list[Any] = [c for c in checked if tries in (None, c["number"][0])]
        before = held.get("attempts", [])
        for candidate in candidates:
            refuse_unsound_candidate(candidate)

        def judged(candidate: CandidateState, told: dict[str, Any]) -> None:
            place = {"digest": candidate["digest"], "number": candidate["number"]}
            tell(ports, runtime, "dry_run", place | told)

        attempts = [
            attempt_of(
                candidate,
                "dry_run",
                ok=report.ok,
                findings=[finding.as_dict() for finding in report.findings],
                losses=report.losses,
                incumbent_losses=report.incumbent_losses,
            )
            for candidate, report in tried(ports, candidates, judged, before)
        ]
        passed = any(attempt["ok"] for attempt in attempts)
        goto = self._after_dry_run if passed else "propose"
        return Command(update={"attempts": attempts}, goto=goto)

    def approve(self, state: DecisionState, runtime: Runtime[Any]) -> Command[Any]:
        """Ask a person about the best one, where one is to be asked."""
        ports = self._ports_of(runtime.context)
        passed = still_passed(state)
        best = choice_of(ports.searches, passed)
        if ports.approve is None or best is None:
            return Command(update={"approved": None}, goto="apply")
        answer = asked(ports.approve, best, _observation_of(state).source)
        if answer is True:
            return Command(update={"approved": best["digest"]}, goto="apply")
        if isinstance(answer, Finding):
            fault = {"error": answer.rule, "message": answer.message}
            tell(ports, runtime, "error", fault | {"digest": best["digest"]})
            said = {"stage": "approve", "ok": False, "findings": [answer.as_dict()]}
            refused = [dict(attempt) | said for attempt in passed]
            return Command(update={"attempts": refused}, goto="propose")
        kept = _ended("kept", "it passed, and was not approved")
        return Command(update=kept, goto=END)

    def apply(self, state: DecisionState, runtime: Runtime[Any]) -> Command[Any]:
        """Hand the best source to the trainer; what it cannot build goes back."""
        ports = self._ports_of(runtime.context)
        tries, approved = state["tries"], state.get("approved")
        passed = still_passed(state)
        waiting = [] if approved is None else passed
        passed = [a for a in passed if approved in (None, a["digest"])]
        waiting = [a for a in waiting if a not in passed]
        unbuilt: list[dict[str, Any]] = []
        while (best := choice_of(ports.searches, passed)) is not None:
            passed = [a for a in passed if a["candidate"] != best["candidate"]]
            answer = ports.apply(best["source"])
            said = answer.as_dict() if isinstance(answer, Finding) else answer
            tell(ports, runtime, "apply", {"digest": best["digest"], "answer": said})
            if not isinstance(answer, Finding):
                outcome = self._outcome(best, answer, tries)
                return Command(update={"attempts": unbuilt} | outcome, goto=END)
            fault = {"error": "build", "message": str(answer)}
            tell(ports, runtime, "error", fault | {"digest": best["digest"]})
            failed = {"stage": "apply", "ok": False, "findings": [said]}
            unbuilt.append(dict(best) | failed)
        if passed:
            reason = f"the strategy chose none of the {len(passed)} that passed"
            kept = _ended("kept", reason)
            return Command(update={"attempts": unbuilt} | kept, goto=END)
        # A person is asked about the next best one.
        goto = "approve" if waiting else "propose"
        return Command(update={"attempts": unbuilt}, goto=goto)

    def _outcome(
        self, best: Mapping[str, Any], answer: bool | str | None, tries: int
    ) -> dict[str, Any]:
        """The update that ends a decision whose source the trainer took, or not."""
        outcome = {"source": best["source"], "digest": best["digest"]}
        if answer is None or answer is True:
            reason = f"passed after {tries} {'try' if tries == 1 else 'tries'}"
            return outcome | {"verdict": "applied", "reason": reason}
        why = answer if isinstance(answer, str) and answer else "no reason was given"
        return outcome | {
            "verdict": "kept",
            "reason": f"the trainer did not take the source: {cleaned(why)}",
        }


REPEATED = Finding(
    "repeated",
    None,
    "this very source was refused before in this decision; it is not tried again",
    "a source that mends what was found",
)


def _observation_of(state: DecisionState) -> Observation:
    data = state.get("observation")
    if not isinstance(data, dict):
        raise ObservationError(
            f"the graph was invoked with observation={data!r}; pass"
            ' {"observation": Observation(...).as_dict()}'
        )
    return Observation.from_dict(data)


def _fresh(state: DecisionState) -> tuple[DecisionState, dict[str, Any]]:
    """The state without a decision that ended before on the same thread.

    Returns:
        The state to go by, and the update that clears the old lists.
    """
    if not state.get("verdict"):
        return state, {}
    cleared: DecisionState = {"observation": state["observation"]}
    lists = ("attempts", "messages", "checked")
    return cleared, {"tries": 0, **{name: Overwrite([]) for name in lists}}


def _kept(attempts: Sequence[dict[str, Any]], tries: int) -> dict[str, Any]:
    """The update that ends a decision whose every try was refused."""
    reason = f"refused in {'the only try' if tries == 1 else f'all {tries} tries'}"
    refused = [a for a in attempts if not a["ok"] and a["findings"]]
    if refused:
        last = refused[-1]
        # A source that came again is refused for what it was refused for at first.
        alike = (a for a in refused if last["digest"] and a["digest"] == last["digest"])
        finding = next(alike, last)["findings"][0]
        reason += f", the last time by [{finding['rule']}] {finding['message']}"
    return _ended("kept", reason)


def _ended(verdict: str, reason: str) -> dict[str, Any]:
    """The update that ends a decision without a source."""
    return {"verdict": verdict, "source": None, "digest": None, "reason": reason}
