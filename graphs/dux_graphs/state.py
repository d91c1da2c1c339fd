"""What the graph of a decision carries: plain data in state, live callables beside it.

State is checkpointed, so it holds only str, int, float, list and dict. What is alive
(the model, the optimizer, the chat model) reaches the nodes as Ports, by LangGraph's
`context`.
"""

from __future__ import annotations

import operator
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from typing_extensions import TypedDict

from dux_graphs.proposals import Brief, OptimizerBrief
from dux_sandbox.findings import CheckReport, DryRunReport, Finding

Write = Callable[[list[dict[str, str]]], str]


class PortsError(ValueError):
    """The graph was invoked without what its nodes need, or with what cannot work."""


class NoMoreCalls(Exception):
    """`Ports.write` raises it where nobody is to be asked any more in this decision.

    No other call mends that: neither a later one nor a fallback's.
    """


class ObservationInput(TypedDict):
    """What a decision begins with: `Observation.as_dict()`."""

    observation: dict[str, Any]


class DecisionState(TypedDict, total=False):
    """One decision, from observation to verdict.

    Attributes:
        observation: `Observation.as_dict()`.
        tries: how often `propose` has asked for proposals in this decision.
        awaited: how many proposals of the current try are to be judged.
        messages: the chat of this decision, `{"role", "content"}`, without the
            system message, which follows from the observation.
        attempts: what became of each proposal, in order: `{"try", "candidate",
            "source", "digest", "stage", "ok", "findings", "losses",
            "incumbent_losses"}`; `stage` is where it ended.
        verdict: "applied", "kept" or "failed"; "" until the decision is over.
        source: the source that went to the trainer, or None.
        digest: its digest, or None.
        reason: why the verdict is what it is, one line.
    """

    observation: dict[str, Any]
    tries: int
    awaited: int
    messages: Annotated[list[dict[str, str]], operator.add]
    attempts: Annotated[list[dict[str, Any]], operator.add]
    verdict: str
    source: str | None
    digest: str | None
    reason: str


class CandidateState(TypedDict):
    """One proposal on its way through `static_check` and `dry_run`.

    Attributes:
        number: which try (from 1) and which proposal of it (from 1).
        source: the text of the optimizer, "" where the reply held none.
        digest: of the source; "" where there is none.
        findings: what the reader of the reply found, as dicts.
        refused: digests refused before in this decision.
    """

    number: list[int]
    source: str
    digest: str
    findings: list[dict[str, Any]]
    refused: list[str]


@dataclass(frozen=True)
class Ports:
    """What the graph cannot do itself. Live callables; never part of the state.

    Attributes:
        write: messages `[{"role", "content"}]`, the system message first, to the text
            of the reply. It raises on trouble with the language model
            (`dux_graphs.models.is_trouble` tells which is worth another call).
        check: source to CheckReport; runs nothing.
        dry_run: source to DryRunReport; is never called twice at a time.
        apply: hands the source to the trainer. None or True: it took it. A Finding: it
            could not be built, and another source may mend that. A text, or False: it
            refused, and the text says why.
        max_attempts: tries a decision may cost.
        candidates: proposals per try; the best dry run goes on.
        prompts: folder of templates that override single prompts of `OptimizerBrief`.
        fallback: like `write`, asked once when `write` has failed for good; or several,
            asked one after the other until one answers.
        brief: writes the prompts and reads the replies; None: `OptimizerBrief`.
        on_event: is told of each "static_check", "dry_run", "apply" and "error" as it
            happens, with plain data, on the thread of the node.
        wait: waits so many seconds, as a server asked to (Retry-After).
        seconds_left: seconds that this decision may still wait for `write`, where that
            is limited.

    Raises:
        PortsError: a port is not callable, or a number is less than one.
    """

    write: Write
    check: Callable[[str], CheckReport]
    dry_run: Callable[[str], DryRunReport]
    apply: Callable[[str], bool | str | Finding | None]
    max_attempts: int = 3
    candidates: int = 1
    prompts: str | None = None
    fallback: Write | Sequence[Write] | None = None
    brief: Brief | None = None
    on_event: Callable[[str, dict[str, Any]], None] | None = None
    wait: Callable[[float], object] = time.sleep
    seconds_left: Callable[[], float | None] = lambda: None
    # Candidates run in threads; a dry run borrows the process's random numbers.
    turn: threading.Lock = field(
        default_factory=threading.Lock, init=False, repr=False, compare=False
    )

    @property
    def asks(self) -> Brief:
        """The brief that counts."""
        return OptimizerBrief(self.prompts) if self.brief is None else self.brief

    @property
    def fallbacks(self) -> tuple[Write, ...]:
        """Who is asked after `write`, in turn."""
        if self.fallback is None:
            return ()
        return (self.fallback,) if callable(self.fallback) else tuple(self.fallback)

    def __post_init__(self) -> None:
        for name in ("write", "check", "dry_run", "apply"):
            if not callable(getattr(self, name)):
                raise PortsError(
                    f"Ports.{name} is {getattr(self, name)!r}; wanted a callable"
                )
        if not all(callable(each) for each in self.fallbacks):
            raise PortsError(
                f"Ports.fallback is {self.fallback!r}; wanted a callable, or several"
            )
        for name in ("max_attempts", "candidates"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise PortsError(
                    f"Ports.{name} is {value!r}; wanted a whole number of at least 1"
                )
