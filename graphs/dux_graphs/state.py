"""What the graph of a decision carries: plain data in state, live callables beside it.

State is checkpointed, so it holds only str, int, float, list and dict. What is alive
(the model, the optimizer, the chat model) reaches the nodes as Ports, by LangGraph's
`context`.
"""

import operator
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from typing_extensions import TypedDict

from dux_graphs.approval import Approve
from dux_graphs.proposals import Brief, OptimizerBrief
from dux_graphs.search.best_dry_run import BestDryRun
from dux_graphs.search.strategy import Outcome, Strategy
from dux_graphs.step_budget import StepBudget
from dux_graphs.writing import ModelPorts, NoMoreCalls, PortsError, Write
from dux_sandbox.findings import CheckReport, DryRunReport, Finding

__all__ = [
    "CandidateState",
    "DecisionState",
    "NoMoreCalls",
    "ObservationInput",
    "Ports",
    "PortsError",
    "Write",
]


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
            "incumbent_losses", "model", "parents", "usage"}`; `stage` is where it
            ended, of one that passed and could not be built a second entry says so.
        approved: digest of the one that may be built; None: any that passed.
        checked: the proposals that passed the static check, as `CandidateState`.
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
    checked: Annotated[list[dict[str, Any]], operator.add]
    approved: str | None
    verdict: str
    source: str | None
    digest: str | None
    reason: str


class CandidateState(TypedDict, total=False):
    """One proposal on its way through `static_check` and `dry_run`.

    Attributes:
        number: which try (from 1) and which proposal of it (from 1).
        source: the text of the optimizer, "" where the reply held none.
        digest: of the source; "" where there is none.
        findings: what the reader of the reply found, as dicts.
        refused: digests refused before in this decision.
        model, parents, usage: who was asked for it, what it was to be made of, and
            what that call cost.
    """

    number: list[int]
    source: str
    digest: str
    findings: list[dict[str, Any]]
    refused: list[str]
    model: str
    parents: list[str]
    usage: dict[str, float]


@dataclass(frozen=True)
class Ports(ModelPorts):
    """What the graph cannot do itself. Live callables; never part of the state.

    The way to the language model is described in `dux_graphs.writing.ModelPorts`.

    Attributes:
        check: source to CheckReport; runs nothing.
        dry_run: source to DryRunReport; is never called twice at a time.
        apply: hands the source to the trainer. None or True: it took it. A Finding: it
            could not be built, and another source may mend that. A text, or False: it
            refused, and the text says why.
        max_attempts: tries a decision may cost.
        candidates: proposals per try; the best dry run goes on.
        prompts: folder of templates that override single prompts of `OptimizerBrief`.
        brief: writes the prompts and reads the replies; None: `OptimizerBrief`.
        strategy: who is asked for what, and which proposal goes on; None: `BestDryRun`.
        archive: the proposals of earlier decisions, for the strategy.
        approve: a person, who has the word before a proposal is built; needs a graph
            that was built with `approve=True`. See `dux_graphs.approval.Approve`.
        dry_run_steps: of a whole dry run, where `dry_run(source, steps)` takes fewer
            too; None: each is whole.
        decision_steps: base steps that the dry runs of a decision may take in all, as
            `dux_graphs.step_budget` counts them; None: as many as its tries come to.

    Raises:
        PortsError: a port is not callable, or a number is less than one.
    """

    check: Callable[[str], CheckReport]
    dry_run: Callable[..., DryRunReport]
    apply: Callable[[str], bool | str | Finding | None]
    max_attempts: int = 3
    candidates: int = 1
    prompts: str | None = None
    brief: Brief | None = None
    strategy: Strategy | None = None
    archive: Sequence[Outcome] = ()
    dry_run_steps: int | None = None
    decision_steps: int | None = None
    approve: Approve | None = None
    # A dry run borrows the process's random numbers.
    turn: threading.Lock = field(
        default_factory=threading.Lock, init=False, repr=False, compare=False
    )

    @property
    def asks(self) -> Brief:
        """The brief that counts."""
        return OptimizerBrief(self.prompts) if self.brief is None else self.brief

    @property
    def searches(self) -> Strategy:
        """The strategy that counts."""
        return self.strategy or BestDryRun(self.asks, self.candidates)

    @property
    def step_budget(self) -> StepBudget:
        """What dry runs may take; counts nothing where a whole one is not known."""
        return StepBudget(self.decision_steps, self.dry_run_steps or 0, self.searches)

    def __post_init__(self) -> None:
        self.require_callables("check", "dry_run", "apply")
        self.require_counts("max_attempts", "candidates")
        if self.decision_steps is not None and self.dry_run_steps is None:
            raise PortsError(
                "Ports.decision_steps is given without dry_run_steps; the steps of a "
                "whole dry run were wanted beside it"
            )
