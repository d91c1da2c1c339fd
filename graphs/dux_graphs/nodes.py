"""The four nodes of a decision: propose, static_check, dry_run, apply."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from langgraph.graph import END
from langgraph.runtime import Runtime
from langgraph.types import Command, Overwrite, Send

from dux_graphs.asking import NotWritten, ask, tell
from dux_graphs.sound_states import refuse_unsound_candidate
from dux_graphs.state import CandidateState, DecisionState, Ports
from dux_prompts.observation import Observation, ObservationError
from dux_prompts.reply import Proposal, cleaned
from dux_sandbox.findings import Finding, digest_of

logger = logging.getLogger(__name__)


class DecisionNodes:
    """What each node does, as a step of LangGraph's."""

    def __init__(self, ports_of: Callable[[Any], Ports], calls: int) -> None:
        """Nodes of one graph.

        Args:
            ports_of: the Ports in the context that the graph was invoked with.
            calls: how often `propose` is run at most when the language model gives
                trouble, the first time included.
        """
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
        if _passed(judged) or len(judged) < state.get("awaited", 0):
            return Command()
        judged = [a for a in judged if not a["ok"]]
        if tries >= ports.max_attempts:
            return Command(update=_kept(judged, tries), goto=END)
        conversation = list(state.get("messages", []))
        known = len(conversation)
        brief = ports.asks
        prompt = (
            brief.repair(judged, ports.max_attempts - tries)
            if tries
            else brief.update(observation)
        )
        system = brief.system(observation)
        try:
            replies = ask(ports, runtime, system, conversation, prompt, self._calls)
        except NotWritten as error:
            logger.warning("no proposal: %s", error)
            failed = {"verdict": "failed", "source": None, "digest": None}
            return Command(update=reset | failed | {"reason": str(error)}, goto=END)
        refused = [a["digest"] for a in state.get("attempts", []) if a["digest"]]
        candidates = _candidates(map(brief.read, replies), tries + 1, refused)
        update: dict[str, Any] = {
            "tries": tries + 1,
            "awaited": len(candidates),
            "messages": conversation[known:],
            "verdict": "",
            "source": None,
            "digest": None,
            "reason": "",
        }
        if reset:
            update["messages"] = Overwrite(update["messages"])
        return Command(
            update=reset | update,
            goto=[Send("static_check", candidate) for candidate in candidates],
        )

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
        tell(ports, runtime, "static_check", told)
        if told["ok"]:
            return Command(goto=Send("dry_run", state))
        attempt = _attempt(state, stage, ok=False, findings=findings)
        return Command(update={"attempts": [attempt]}, goto="propose")

    def dry_run(self, state: CandidateState, runtime: Runtime[Any]) -> Command[Any]:
        """Try the source for a few steps on a copy of the model."""
        ports = self._ports_of(runtime.context)
        refuse_unsound_candidate(state)
        with ports.turn:
            report = ports.dry_run(state["source"])
        tell(ports, runtime, "dry_run", {"digest": state["digest"]} | report.as_dict())
        attempt = _attempt(
            state,
            "dry_run",
            ok=report.ok,
            findings=[finding.as_dict() for finding in report.findings],
            losses=report.losses,
            incumbent_losses=report.incumbent_losses,
        )
        goto = "apply" if report.ok else "propose"
        return Command(update={"attempts": [attempt]}, goto=goto)

    def apply(self, state: DecisionState, runtime: Runtime[Any]) -> Command[Any]:
        """Hand the best source to the trainer; what it cannot build goes back."""
        ports = self._ports_of(runtime.context)
        tries = state["tries"]
        passed = [a for a in state["attempts"] if a["try"] == tries and a["ok"]]
        unbuilt: list[dict[str, Any]] = []
        for best in sorted(passed, key=_final_loss):
            answer = ports.apply(best["source"])
            said = answer.as_dict() if isinstance(answer, Finding) else answer
            tell(ports, runtime, "apply", {"digest": best["digest"], "answer": said})
            if not isinstance(answer, Finding):
                outcome = self._outcome(best, answer, tries)
                return Command(update={"attempts": unbuilt} | outcome, goto=END)
            failed = {"stage": "apply", "ok": False, "findings": [said]}
            unbuilt.append(best | failed)
        return Command(update={"attempts": unbuilt}, goto="propose")

    def _outcome(
        self, best: dict[str, Any], answer: bool | str | None, tries: int
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
    return cleared, {"attempts": Overwrite([]), "messages": Overwrite([]), "tries": 0}


def _candidates(
    proposals: Iterable[Proposal | Finding], number: int, refused: list[str]
) -> list[CandidateState]:
    """One candidate for each reply; of equal sources only the first."""
    candidates: list[CandidateState] = []
    for proposal in proposals:
        found = isinstance(proposal, Proposal)
        source = proposal.source if isinstance(proposal, Proposal) else ""
        digest = digest_of(source) if found else ""
        if found and digest in [candidate["digest"] for candidate in candidates]:
            continue
        findings = [] if isinstance(proposal, Proposal) else [proposal.as_dict()]
        candidates.append(
            {
                "number": [number, len(candidates) + 1],
                "source": source,
                "digest": digest,
                "findings": findings,
                "refused": refused,
            }
        )
    return candidates


def _attempt(
    candidate: CandidateState,
    stage: str,
    *,
    ok: bool,
    findings: list[dict[str, Any]],
    losses: Sequence[float] = (),
    incumbent_losses: Sequence[float] = (),
) -> dict[str, Any]:
    return {
        "try": candidate["number"][0],
        "candidate": candidate["number"][1],
        "source": candidate["source"],
        "digest": candidate["digest"],
        "stage": stage,
        "ok": ok,
        "findings": findings,
        "losses": list(losses),
        "incumbent_losses": list(incumbent_losses),
    }


def _passed(judged: Sequence[dict[str, Any]]) -> bool:
    """Whether one of these attempts of a try is still to be applied."""
    unbuilt = {a["candidate"] for a in judged if a["stage"] == "apply"}
    return any(a["ok"] and a["candidate"] not in unbuilt for a in judged)


def _kept(judged: Sequence[dict[str, Any]], tries: int) -> dict[str, Any]:
    """The update that ends a decision whose every try was refused."""
    reason = f"refused in {'the only try' if tries == 1 else f'all {tries} tries'}"
    if judged and judged[-1]["findings"]:
        finding = judged[-1]["findings"][0]
        reason += f", the last time by [{finding['rule']}] {finding['message']}"
    return {"verdict": "kept", "source": None, "digest": None, "reason": reason}


def _final_loss(attempt: dict[str, Any]) -> float:
    """The loss a dry run ended with; candidates without a finite one come last."""
    losses = attempt["losses"]
    return losses[-1] if losses and math.isfinite(losses[-1]) else math.inf
