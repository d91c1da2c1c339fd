"""What the graph of a trial carries: plain data in state, live callables beside it."""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from typing_extensions import TypedDict

from dux_graphs.tuning.brief import TrialBrief
from dux_graphs.writing import ModelPorts
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
class TrialPorts(ModelPorts):
    """What the graph of a trial cannot do itself. Live callables; never in the state.

    The way to the language model is described in `dux_graphs.writing.ModelPorts`.

    Attributes:
        check: the JSON object of a reply to the configuration that it means, or to
            what is wrong with it.
        draw: a configuration for a trial whose every try was refused.
        brief: writes the prompts and reads the replies.
        evaluate: a configuration to what came of it, plain data; None: the graph ends
            after the check, and somebody else evaluates.
        max_attempts: replies that a trial may cost.

    Raises:
        PortsError: a port is not callable, or `max_attempts` is less than one.
    """

    check: Check
    draw: Callable[[], dict[str, Any]]
    brief: TrialBrief
    evaluate: Evaluate | None = None
    max_attempts: int = 3

    def __post_init__(self) -> None:
        self.require_callables("check", "draw")
        self.require_counts("max_attempts")
