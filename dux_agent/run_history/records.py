"""What a run folder tells: the run, its epochs, its decisions and their proposals."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

from dux_agent.run_folder.trace import Event
from dux_graphs.events import ErrorEvent
from dux_sandbox.findings import Finding


@dataclass(frozen=True)
class EpochLosses:
    """The mean losses of one epoch.

    Attributes:
        number: counted from 1.
        step: steps taken when it ended.
        train, val, test: means, in the objective's unit; None where not measured.
        seconds: wall time of its training steps, seconds; None where not known.
    """

    number: int
    step: int
    train: float | None
    val: float | None
    test: float | None
    seconds: float | None


@dataclass(frozen=True)
class ProposalTold:
    """One proposal of a decision, and how far it came.

    Attributes:
        number: counted from 1 within the decision.
        reply: what the model answered, whole; None where it is not in the trace.
        source: the source that was read out of it, or that is kept in the folder.
        digest: of the source; empty where there was none.
        stage: the last that judged it: "reply", "static_check" or "dry_run";
            "unjudged" where the trace ends before.
        ok: what that stage said; None where none did.
        findings: what was found.
        losses, incumbent_losses: of the dry run; empty where there was none.
        seconds: time that the rule used in its dry run, seconds.
        peak_bytes: memory that it took there, bytes.
    """

    number: int
    reply: str | None = field(repr=False)
    source: str | None = field(repr=False)
    digest: str
    stage: str
    ok: bool | None
    findings: tuple[Finding, ...] = ()
    losses: tuple[float, ...] = ()
    incumbent_losses: tuple[float, ...] = ()
    seconds: float | None = None
    peak_bytes: int | None = None


@dataclass(frozen=True)
class Stage:
    """A stretch of wall time within a decision.

    Attributes:
        name: "observe", "prepare", "model", "static check", "dry run", "apply",
            "trouble".
        seconds: how long it took, seconds.
    """

    name: str
    seconds: float


@dataclass(frozen=True)
class WentBackTold:
    """A rollback of the base optimizer's own run, where there is no language model.

    Attributes:
        step: steps observed when it went back.
        reason: what was seen.
        undone: steps of training that were undone; None where it is not told.
        factor: what the rates are times from then on; None where it is not told.
    """

    step: int
    reason: str
    undone: int | None
    factor: float | None


@dataclass(frozen=True)
class DecisionStory:
    """One decision, from observation to verdict, and what became of it.

    Attributes:
        number: as the trace counts them, from 1.
        step: steps taken when it was asked.
        decided_at: steps taken when it was over and its rule, if any, went live; more
            than `step` where it was made in the background.
        verdict: "applied", "kept", "failed", "rolled_back", or "unfinished" where
            the trace holds none (yet).
        reason: why, in a sentence; of a rollback, why it was rolled back; of an
            unfinished one, what was done last.
        digest: of the source that it is about; may be empty.
        source: that source; None where there is none, or it is not kept.
        incumbent: the source that was live; None for the base optimizer.
        incumbent_digest: of that source; empty for the base optimizer.
        loss: the newest loss that its observation shows, the validation's where there
            is one; None where it shows none.
        base: the base optimizer, as the observation describes it.
        prompts: the messages of each call to the model: `(role, content)` pairs.
        proposals: in the order in which they were read.
        troubles: with the model.
        usage: calls, tokens, dollars; a name that is missing was not recorded.
        seconds: wall time of the decision, seconds; None where it is not over.
        began, ended: seconds since 1970, of its first and of its verdict's event.
        carried, dropped: parameters by name of the state entry.
        rates_before, rates: learning rates of each group, around the swap.
        by_itself: steps of its rule, from 1, that move weights without a gradient.
        rolled_back_at: the step of the rollback, if there was one.
        stages: where the wall time went.
        events: everything the trace holds of it, in order.
    """

    number: int
    step: int
    decided_at: int
    verdict: str
    reason: str
    digest: str
    source: str | None = field(repr=False)
    incumbent: str | None = field(repr=False)
    incumbent_digest: str
    loss: float | None
    base: Mapping[str, Any]
    prompts: tuple[tuple[tuple[str, str], ...], ...] = field(repr=False)
    proposals: tuple[ProposalTold, ...]
    troubles: tuple[ErrorEvent, ...]
    usage: Mapping[str, float]
    seconds: float | None
    began: float
    ended: float
    carried: Mapping[str, int] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)
    rates_before: tuple[float, ...] = ()
    rates: tuple[float, ...] = ()
    rolled_back_at: int | None = None
    stages: tuple[Stage, ...] = ()
    events: tuple[Event, ...] = field(default=(), repr=False)
    by_itself: tuple[int, ...] = ()

    @property
    def went_live(self) -> bool:
        """Whether its rule was live, if only until it was rolled back."""
        return self.verdict in ("applied", "rolled_back") and bool(self.digest)

    @property
    def replies(self) -> int:
        """How often the model answered."""
        return sum(event.kind == "reply" for event in self.events)


@dataclass(frozen=True)
class RunHistory:
    """A whole run.

    Attributes:
        path: the run folder.
        facts: what `run.json` says.
        losses: `(step, loss)` of the training steps that are recorded, by step.
        epochs: of the run with the agent.
        control: of the same training with the base optimizer alone; may be empty.
        decisions: in order.
        events: how many there are.
        began, ended: seconds since 1970, of the first and the last event.
        agent_began: of the first event that is not the control's.
        went_back: rollbacks that belong to no decision, in order.
        ended_by: what the guard of a run without a language model raised at last.
    """

    path: Path
    facts: Mapping[str, Any]
    losses: tuple[tuple[int, float], ...]
    epochs: tuple[EpochLosses, ...]
    control: tuple[EpochLosses, ...]
    decisions: tuple[DecisionStory, ...]
    events: int
    began: float
    ended: float
    agent_began: float
    went_back: tuple[WentBackTold, ...] = ()
    ended_by: str = ""

    @property
    def epochs_planned(self) -> int | None:
        """How many epochs were to be trained, if `run.json` says so."""
        arguments = self.facts.get("arguments")
        planned = arguments.get("epochs") if isinstance(arguments, dict) else None
        return planned if type(planned) is int and planned > 0 else None

    @property
    def best_epoch(self) -> EpochLosses | None:
        """Whose weights were kept with `keep_best`, as far as epochs tell."""
        arguments = self.facts.get("arguments")
        kept = isinstance(arguments, dict) and arguments.get("keep_best") is True
        judged = [e for e in self.epochs if e.val is not None and math.isfinite(e.val)]
        return min(judged, key=lambda e: e.val or 0.0) if kept and judged else None

    def epochs_before(self, decision: DecisionStory) -> int | None:
        """How many epochs were over at its verdict; None in a run without epochs."""
        if not self.epochs:
            return None
        return sum(epoch.step <= decision.decided_at for epoch in self.epochs)

    def losses_around(
        self, decision: DecisionStory
    ) -> tuple[float | None, float | None]:
        """The losses before a decision and after it; None where there is none (yet).

        Those of validation at the end of an epoch; in a run without epochs what the
        observations of this decision and the next one show.
        """
        over = self.epochs_before(decision)
        if over is None:
            return decision.loss, self._loss_after.get(decision.number)
        before, after = self.epochs[:over][-1:], self.epochs[over : over + 1]
        return before[0].val if before else None, after[0].val if after else None

    @cached_property
    def _loss_after(self) -> dict[int, float | None]:
        return {one.number: then.loss for one, then in pairwise(self.decisions)}

    @property
    def steps(self) -> int:
        """The last step that is recorded."""
        ends = [epoch.step for epoch in self.epochs[-1:]]
        ends += [step for step, _ in self.losses[-1:]]
        ends += [decision.decided_at for decision in self.decisions[-1:]]
        ends += [back.step for back in self.went_back[-1:]]
        return max(ends, default=0)
