"""What the graph of a trial carries: plain data in state, live callables beside it."""

from __future__ import annotations

import operator
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from typing_extensions import TypedDict

from dux_graphs.state import PortsError, Write
from dux_graphs.tuning.brief import HyperparameterBrief
from dux_sandbox.findings import Finding


class TrialInput(TypedDict, total=False):
    """What a trial begins with.

    Attributes:
        view: `StudyView.as_dict()`.
        chat: earlier messages of the study, behind the system message.
        given: `{"config", "by", "why"}` of a configuration that nobody is asked for;
            None: the language model is asked.
    """

    view: dict[str, Any]
    chat: list[dict[str, str]]
    given: dict[str, Any] | None


class TrialState(TrialInput, total=False):
    """One trial, from the view to the value.

    Attributes:
        tries: how often the language model has answered in this trial.
        messages: the chat of this trial, without the system message.
        attempts: what became of each reply, in order: `{"try", "config", "findings"}`.
        proposed: the JSON object of the last reply; None where it held none.
        config: what is evaluated; None until it is known.
        by: who proposed it: "lm", "fallback", or what `given` says.
        why: the reason that was given.
        outcome: what the evaluation gave; None where there was none yet.
        verdict: "proposed", "evaluated" or "failed"; "" until the trial is over.
        reason: why it failed, one line.
    """

    tries: int
    messages: Annotated[list[dict[str, str]], operator.add]
    attempts: Annotated[list[dict[str, Any]], operator.add]
    proposed: dict[str, Any] | None
    config: dict[str, Any] | None
    by: str
    why: str
    outcome: dict[str, Any] | None
    verdict: str
    reason: str


Check = Callable[[Mapping[str, Any]], "dict[str, Any] | Sequence[Finding]"]
Evaluate = Callable[[dict[str, Any]], dict[str, Any]]


@dataclass(frozen=True)
class TrialPorts:
    """What the graph of a trial cannot do itself. Live callables; never in the state.

    Attributes:
        write: messages to the text of a reply, as of `dux_graphs.state.Ports`.
        check: the JSON object of a reply to the configuration that it means, or to
            what is wrong with it.
        draw: a configuration for a trial whose every try was refused.
        brief: writes the prompts and reads the replies.
        evaluate: a configuration to what came of it, plain data; None: the graph ends
            after the check, and somebody else evaluates.
        max_attempts: replies that a trial may cost.
        fallback: asked in turn when `write` has failed for good.
        on_event: is told of each "static_check" and "error", with plain data.
        wait: waits so many seconds, as a server asked to.
        seconds_left: seconds that may still be waited, where that is limited.

    Raises:
        PortsError: a port is not callable, or `max_attempts` is less than one.
    """

    write: Write
    check: Check
    draw: Callable[[], dict[str, Any]]
    brief: HyperparameterBrief
    evaluate: Evaluate | None = None
    max_attempts: int = 3
    fallback: Sequence[Write] = ()
    on_event: Callable[[str, dict[str, Any]], None] | None = None
    wait: Callable[[float], object] = time.sleep
    seconds_left: Callable[[], float | None] = lambda: None
    candidates: int = 1

    @property
    def asks(self) -> HyperparameterBrief:
        """The brief that counts."""
        return self.brief

    @property
    def fallbacks(self) -> tuple[Write, ...]:
        """Who is asked after `write`, in turn."""
        return tuple(self.fallback)

    def __post_init__(self) -> None:
        for name in ("write", "check", "draw"):
            if not callable(getattr(self, name)):
                raise PortsError(
                    f"TrialPorts.{name} is {getattr(self, name)!r}; wanted a callable"
                )
        if self.max_attempts < 1:
            raise PortsError(
                f"TrialPorts.max_attempts is {self.max_attempts!r}; wanted at least 1"
            )
