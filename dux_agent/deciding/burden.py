"""Who has to show what: how a dry run is read, by what the proposals before came to.

A dry run is short, and a good rule often begins behind the incumbent, which has its
momentum already. So what counts is what it makes of the batches that it meets a second
time, and not how far behind it is; who was caught has to be surely ahead on them, too.
What a rule does after the steps of its dry run is seen without a pass of the model
(`dux_sandbox.dry_runs.looking_ahead`).

    gain = loss when a batch was met first - loss when it is met again, a mean
    far  = how far a rule moves the weights by how far the incumbent does

    idle:     far < 1/1000 (1/20 for a maker whose standing is not above 0), and its
              gain is not above the incumbent's and above a fiftieth of the loss; or
              its gain is less than a tenth of the incumbent's (of a maker whose
              standing is above 0: beyond its noise); unless its steps grow later
    behind:   its gain is less than half of the incumbent's (of a maker whose standing
              is not above 0: who has brought the loss down may cool down); unless
              they do
    unproved: on the batches that are met again its losses are not below the
              incumbent's by two standard errors of that (of a maker whose standing
              is below 0; before the last interval, of one whose standing is not above
              0): chance alone puts some of many useless proposals ahead

Ten steps of an incumbent that leaps about say little. So its gain counts as at most
what the loss of the training can have come down by over as many steps (its trend, and
the standard error of that). For a maker whose standing is below 0 it counts in full,
and as at least half of what is sure of that trend, or of the loss if that is less.

Where the network overfits, only that share of the incumbent's gain counts which has
reached the validation loss over the last interval, but for a maker whose standing is
below 0: a rule that cools down or decays weights gains less on what it is trained on,
and is what is wanted there.

Where the incumbent is not sure to gain a fiftieth of the loss, by the standard error
of its gain, there is little to lose: what goes further is taken on trust there, but for
a maker whose standing is below 0, and goes when the interval is over if it has brought
nothing (`dux_agent.deciding.regret`).
While fewer batches were seen than a dry run takes, only what is frozen is refused.

The standing of a maker is how many of its rules have brought the loss down over an
interval, less how many proposals of the last three decisions did harm or nothing; of
the decision that is being made only harm counts, for what was refused as of no use is
answered in the next try, by good makers too.
docs/dry-run-judge.md has what these bounds refuse, of rubbish and of good rules.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from dux_agent.decisions import Decision
from dux_agent.settings import Settings
from dux_agent.training.training import Training
from dux_prompts.observation import Observation
from dux_sandbox.dry_runs.acceptance import gained, mean_and_error, met_again
from dux_sandbox.dry_runs.slices import Slices
from dux_sandbox.findings import DryRunReport, Finding

_FROZEN, _CREEPS = 1e-3, 0.05  # of how far the incumbent moves the weights
_GROWN = 0.2  # the same
_IDLE, _BEHIND = 0.1, 0.5  # of what the incumbent gains
_LITTLE = 0.02  # of the loss
_GAP = 0.04  # the same
_SURE = 0.5  # of what training was seen to gain
_NEWEST, _FEWEST_SEEN = 40, 8  # losses
_FEWEST = 5
_REMEMBERED = 3
_AHEAD = (64, 256)  # steps: at least, and at most

HARMFUL = frozenset(("harm", "nonfinite", "leap", "uphill"))
"""Findings that speak against whoever made the proposal, and not only against it."""

USELESS = frozenset(("idle",))
"""What does so once its decision is over: until then its maker may answer it."""


def caught_in(attempts: Sequence[Mapping[str, Any]], rules: frozenset[str]) -> int:
    """How many of a decision's attempts were refused by one of these rules."""
    return sum(
        any(finding["rule"] in rules for finding in attempt["findings"])
        for attempt in attempts
    )


def caught_by(decisions: Sequence[Decision]) -> int:
    """How many proposals and rules of the last three speak against their maker."""
    return sum(
        caught_in(each.attempts, HARMFUL | USELESS) + (each.verdict == "rolled_back")
        for each in decisions[-_REMEMBERED:]
    )


def tried(
    training: Training,
    source: str,
    earlier: DryRunReport | None,
    proposal_steps: int | None,
    *,
    standing: int,
    reaches: float = 1.0,
    **how: Any,
) -> Slices[DryRunReport]:
    """The dry run of a proposal, read by the standing of its maker.

    Args:
        training: what it is tried on.
        source: the text of the proposal.
        earlier: a report of the same decision, for what it says of the incumbent.
        proposal_steps: that it takes, where they are fewer; it is not judged by them.
        standing: of the maker; 0: unknown.
        reaches: what `reaching` says of the interval that is over.
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
        ahead=_steps_ahead(settings) if judges else 0,
        **how,
    )
    if not judges:
        return report
    if len(training.batches) < settings.dry_run_steps:
        return judged(report, None)  # training has hardly begun
    last = settings.decisions_left(training.statistics.step) == 0
    came = progress(training.statistics.recent)
    return judged(report, standing - last, came, reaches)


def _steps_ahead(settings: Settings) -> int:
    """How far the rule is looked at: for the interval that comes, if that is known."""
    least, most = _AHEAD
    return min(max(settings.every or settings.steps_per_epoch or least, least), most)


def judged(
    report: DryRunReport,
    standing: int | None,
    came: tuple[float, float] = (0.0, math.inf),
    reaches: float = 1.0,
) -> DryRunReport:
    """The report, refused where the proposal has not shown what it has to.

    Args:
        report: of a whole dry run that speaks of no harm.
        standing: of the maker; 0: unknown. None: only what is frozen is refused.
        came: by how much the loss of the training comes down a step, at least and at
            most.
        reaches: the share of a gain that reaches held-back data.
    """
    losses, others = report.losses, report.incumbent_losses
    if not report.ok or not _FEWEST < len(losses) <= len(others):
        return report
    if not all(map(math.isfinite, (*losses, *others))):
        return report  # an incumbent that diverges is behind whatever is finite
    fault = _fault(report, standing, came, reaches)
    return report if fault is None else replace(report, ok=False, findings=(fault,))


def _fault(
    report: DryRunReport,
    standing: int | None,
    came: tuple[float, float],
    reaches: float,
) -> Finding | None:
    losses, others, period = report.losses, report.incumbent_losses, report.period
    (own, blur), (theirs, noise) = gained(losses, period), gained(others, period)
    said = f"on batches that are met again the loss comes down by {own:.2g}, with the "
    said += f"incumbent by {max(0.0, theirs):.2g}"
    if report.incumbent_moved > 0:
        far = report.moved / report.incumbent_moved
        said += f"; it moves the weights {far:.2g} times as far"
    useless = Finding("idle", None, said, "a rule that lowers the loss")
    met = met_again(losses, period) or (0,)
    level = statistics.fmean(abs(others[at % period]) for at in met)
    little, (least, most) = _LITTLE * level, (each * period for each in came)
    caught = standing is not None and standing < 0
    theirs = max(0.0, theirs if caught else min(theirs, most))
    grows = report.moves_later >= _GROWN * report.incumbent_moved > 0
    share = _FROZEN if standing is None or standing > 0 else _CREEPS
    stands = report.moved < share * report.incumbent_moved and not grows
    # One that creeps is ahead of an incumbent whose loss leaps about as it falls.
    if stands and not own > max(little, theirs):
        return useless
    if standing is None or math.isnan(own):
        return None
    if caught:  # ten steps of an incumbent that leaps about say little
        theirs, reaches = max(theirs, _SURE * min(least, level)), 1.0
    bold = report.moved > report.incumbent_moved > 0 <= standing
    trusted = grows or (bold and theirs - noise < little)
    theirs *= reaches
    shown = own + blur if standing > 0 else own
    if not trusted:
        if shown < _IDLE * theirs or shown <= theirs == 0:
            return useless
        if standing <= 0 and own < _BEHIND * theirs:
            return replace(useless, rule="behind")
    lead, error = mean_and_error([others[at] - losses[at] for at in met])
    if caught and lead < 2 * error:
        said = "this one has to be ahead of the incumbent, since earlier proposals did "
        said += "harm or nothing or no decision follows, and it is not"
        return Finding("unproved", None, said, "a rule that gains more, step for step")
    return None


def reaching(observation: Observation, ended: Sequence[float]) -> float:
    """Which share of what training gains reaches the data that are held back, 0 to 1.

    Less than all only where the validation loss lies above the training loss of both
    modes, and has come down by less since the last decision than the training loss has.

    Args:
        observation: of the decision that is made.
        ended: the training losses with which intervals have ended, the last two.
    """
    seen = observation.validation_losses[-2:]
    if len(seen) < 2 or len(ended) < 2:
        return 1.0
    (_, before), (_, now) = seen
    trained = max(ended[1], observation.evaluated_loss or ended[1])
    fitted = ended[0] - ended[1]
    overfits = now - trained > _GAP * abs(trained) and fitted > _LITTLE * abs(ended[0])
    if not overfits or not math.isfinite(before):  # nor is `now` finite if it does
        return 1.0
    return min(1.0, max(0.0, (before - now) / fitted))


def progress(losses: Sequence[float]) -> tuple[float, float]:
    """How far losses come down a step: the trend, less and more its standard error.

    Of too few losses nothing is known.

    >>> [round(each, 6) for each in progress([10.0 - step for step in range(10)])]
    [1.0, 1.0]
    """
    newest = [loss for loss in losses if math.isfinite(loss)][-_NEWEST:]
    count = len(newest)
    if count < _FEWEST_SEEN:
        return 0.0, math.inf
    slope, level = statistics.linear_regression(range(count), newest)
    rest = math.fsum((x - level - slope * at) ** 2 for at, x in enumerate(newest))
    apart = count * (count * count - 1) / 12
    error = math.sqrt(rest / (count - 2) / apart)
    return -slope - error, -slope + error
