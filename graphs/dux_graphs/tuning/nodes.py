"""The three nodes of a trial: propose, check, evaluate."""

from collections.abc import Callable, Sequence
from typing import Any

from langgraph.graph import END
from langgraph.runtime import Runtime
from langgraph.types import Command

from dux_graphs.asking import NotWritten, ask, tell
from dux_graphs.search.strategy import Request
from dux_graphs.tuning.state import TrialPorts, TrialState
from dux_prompts.tuning.space import digest_in
from dux_prompts.tuning.study_view import StudyView
from dux_sandbox.findings import Finding

FALLBACK = "fallback"


class TrialNodes:
    """What each node does, as a step of LangGraph's."""

    def __init__(self, ports_of: Callable[[Any], TrialPorts], calls: int) -> None:
        """Nodes of one graph; the arguments are those of `DecisionNodes`."""
        self._ports_of = ports_of
        self._calls = calls

    def propose(self, state: TrialState, runtime: Runtime[Any]) -> Command[Any]:
        """Ask for a configuration, or take the one that was given."""
        ports = self._ports_of(runtime.context)
        given = state.get("given")
        if given is not None:
            held = {"config": given["config"], "by": given["by"], "why": given["why"]}
            return Command(update=held, goto="evaluate")
        tries = state.get("tries", 0)
        if tries >= ports.max_attempts:
            why = "a seeded draw, since every try was refused"
            drawn = {"config": ports.draw(), "by": FALLBACK, "why": why}
            return Command(update=drawn, goto="evaluate")
        view, brief = StudyView.from_dict(state["view"]), ports.brief
        refused = state.get("attempts", [])[-1:]
        prompt = (
            brief.repair(refused, ports.max_attempts - tries)
            if tries
            else brief.update(view)
        )
        chat, told = list(state.get("chat", [])), list(state.get("messages", []))
        known = len(chat) + len(told)
        conversation = chat + told
        try:
            system = brief.system(view)
            asked = [Request(prompt)]
            answers = ask(ports, runtime, system, conversation, asked, self._calls)
        except NotWritten as error:
            failed = {"verdict": "failed", "reason": str(error)}
            return Command(update=failed, goto=END)
        read = brief.read(answers[0].reply.text)
        update: dict[str, Any] = {"tries": tries + 1, "messages": conversation[known:]}
        if isinstance(read, Finding):
            tell(ports, runtime, "static_check", _judged(None, [read]))
            attempt = _attempt(tries + 1, None, [read])
            refusal = {"attempts": [attempt], "proposed": None}
            return Command(update=update | refusal, goto="propose")
        return Command(
            update=update | {"proposed": read.config, "why": read.why}, goto="check"
        )

    def check(self, state: TrialState, runtime: Runtime[Any]) -> Command[Any]:
        """Is it in the space, and new? What is found goes back to `propose`."""
        ports = self._ports_of(runtime.context)
        proposed = state["proposed"] or {}
        answer = ports.check(proposed)
        if isinstance(answer, dict):
            tell(ports, runtime, "static_check", _judged(answer, []))
            return Command(update={"config": answer, "by": "lm"}, goto="evaluate")
        tell(ports, runtime, "static_check", _judged(proposed, answer))
        attempt = _attempt(state["tries"], proposed, answer)
        return Command(update={"attempts": [attempt]}, goto="propose")

    def evaluate(self, state: TrialState, runtime: Runtime[Any]) -> Command[Any]:
        """Evaluate the configuration, where that is this graph's business."""
        ports = self._ports_of(runtime.context)
        if ports.evaluate is None:
            return Command(update={"verdict": "proposed"}, goto=END)
        outcome = ports.evaluate(dict(state["config"] or {}))
        return Command(update={"verdict": "evaluated", "outcome": outcome}, goto=END)


def _judged(
    config: dict[str, Any] | None, findings: Sequence[Finding]
) -> dict[str, Any]:
    return {
        "digest": "" if config is None else digest_in(config),
        "ok": not findings,
        "findings": [each.as_dict() for each in findings],
        "config": config,
    }


def _attempt(
    number: int, config: dict[str, Any] | None, findings: Sequence[Finding]
) -> dict[str, Any]:
    found = [each.as_dict() for each in findings]
    return {"try": number, "config": config, "findings": found}
