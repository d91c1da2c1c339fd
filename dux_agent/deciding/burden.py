"""Who has to show what: how a dry run is read, by what the proposals before came to.

A dry run is short, and a good rule often begins behind the incumbent, which has its
momentum already: rules that end a run far ahead lose up to 4 % a step at first. So a
proposal is taken on trust unless it is frozen; one of a maker that was caught time and
again has to be ahead, and is looked at for longer: what it does after the steps of the
dry run is seen too (`dux_sandbox.dry_runs.looking_ahead`).

    d_t = loss_t - incumbent's loss_t      on the same batch, with the same numbers
    t   = slope of d over the steps, through 0, by its standard error
    far = how far it moves the weights by how far the incumbent does

    idle:     far < 1/1000, the loss on the same batch has come down by less than a
              twentieth, and it is not seen to warm up
    unproved: t > -2                  (of a maker whose standing is -3 or less)

The standing of a maker is how many of its rules have brought the loss down over an
interval, less how many proposals of the last three decisions did harm or nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from dux_agent.decisions import Decision
from dux_agent.training.training import Training
from dux_sandbox.dry_runs.acceptance import of_use
from dux_sandbox.dry_runs.looking_ahead import FROZEN
from dux_sandbox.dry_runs.slices import Slices
from dux_sandbox.findings import DryRunReport, Finding

_AHEAD = -2.0
_WARY = -3
_OF_USE = 0.05  # of the loss
_FEWEST = 5
_REMEMBERED = 3

LOOKS_AHEAD = 64
"""Steps that a proposal takes after its dry run where it is looked at for longer."""

CAUGHT = frozenset(("harm", "nonfinite", "leap", "uphill", "idle"))
"""Findings that speak against whoever made the proposal, and not only against it."""


def caught_in(attempts: Sequence[Mapping[str, Any]]) -> int:
    """How many of a decision's attempts speak against their maker."""
    return sum(
        any(finding["rule"] in CAUGHT for finding in attempt["findings"])
        for attempt in attempts
    )


def caught_by(decisions: Sequence[Decision]) -> int:
    """How many proposals and rules of the last three speak against their maker."""
    return sum(
        caught_in(each.attempts) + (each.verdict == "rolled_back")
        for each in decisions[-_REMEMBERED:]
    )


def tried(
    training: Training,
    source: str,
    earlier: DryRunReport | None,
    proposal_steps: int | None,
    *,
    standing: int,
    **how: Any,
) -> Slices[DryRunReport]:
    """The dry run of a proposal, read by the standing of its maker.

    Args:
        training: what it is tried on.
        source: the text of the proposal.
        earlier: a report of the same decision, for what it says of the incumbent.
        proposal_steps: that it takes, where they are fewer; it is not judged by them.
        standing: of the maker; 0: unknown.
        how: the rest of what `Training.in_slices` takes.
    """
    settings = training.settings
    judges = settings.accept == "harmless" and proposal_steps is None
    report = yield from training.in_slices(
        source,
        steps=settings.dry_run_steps,
        incumbent_losses=None if earlier is None else earlier.incumbent_losses,
        incumbent_moved=0.0 if earlier is None else earlier.incumbent_moved,
        proposal_steps=proposal_steps,
        ahead=LOOKS_AHEAD if judges else 0,
        wary=standing <= _WARY,
        **how,
    )
    return judged(report, standing) if judges else report


def judged(report: DryRunReport, standing: int) -> DryRunReport:
    """The report, refused where the proposal has not shown what it has to.

    Args:
        report: of a whole dry run that speaks of no harm.
        standing: of the maker; 0: unknown.
    """
    losses, others = report.losses, report.incumbent_losses
    if not report.ok or not _FEWEST < len(losses) <= len(others):
        return report
    if not all(map(math.isfinite, (*losses, *others))):
        return report  # an incumbent that diverges is behind whatever is finite
    fault = _fault(report, trend(losses, others), standing)
    return report if fault is None else replace(report, ok=False, findings=(fault,))


def _fault(report: DryRunReport, behind: float, standing: int) -> Finding | None:
    incumbent = report.incumbent_moved
    if report.moved < FROZEN * incumbent and not (
        report.moves_later >= FROZEN * incumbent
        or of_use(report.losses, report.period, _OF_USE)
    ):
        said = f"it moves the weights {report.moved / incumbent:.2g} times as far as "
        said += "the incumbent does"
        return Finding("idle", None, said, "a larger rate")
    if standing <= _WARY and behind > _AHEAD:
        said = "earlier proposals did harm or nothing, and this one is not ahead of "
        said += "the incumbent in its dry run"
        return Finding("unproved", None, said, "a rule that gains more, step for step")
    return None


def trend(losses: Sequence[float], others: Sequence[float]) -> float:
    """The slope of what the first are above the others, in its standard errors.

    Both begin with the same loss, before any step.

    >>> trend([1.0, 0.9, 0.8], [1.0, 0.9, 0.8])
    0.0
    """
    pairs = zip(losses[1:], others[1:], strict=False)
    above = [(step, a - b) for step, (a, b) in enumerate(pairs, start=1)]
    squares = math.fsum(step * step for step, _ in above)
    slope = math.fsum(step * d for step, d in above) / max(1, squares)
    rest = math.fsum((d - slope * step) ** 2 for step, d in above)
    if slope == 0.0:
        return 0.0
    error = math.sqrt(rest / max(1, len(above) - 1) / squares)
    return slope / error if error > 0 else math.copysign(math.inf, slope)
