"""Swaps in the source of a decision, on all ranks or on none."""

import logging
from dataclasses import replace

from dux_agent.deciding.together import Together
from dux_agent.decisions import Decision
from dux_agent.live.swap import SwapRecord, rehearse, swap
from dux_agent.training.training import Training
from dux_sandbox.dry_runs.drawn_steps import steps_by_itself
from dux_sandbox.findings import DryRunReport, RuleFailed, SourceRejected
from dux_sandbox.running import parameters_of

log = logging.getLogger(__name__)

_MOST = 128


def go_live(
    decision: Decision,
    source: str,
    report: DryRunReport | None,
    training: Training,
    together: Together,
) -> SwapRecord | None:
    """Make the rule of `source` the live one.

    Returns:
        What the swap did; None where it could not be, which the decision then says.

    Raises:
        RanksLost: it could be on some ranks only, though all had built it.
    """
    settings, statistics, live = training.settings, training.statistics, training.live
    reason = None
    if together.several:
        faults = enumerate(together.work(lambda: rehearse(live, source)))
        found = (f"rank {rank}: {fault}" for rank, fault in faults if fault is not None)
        reason = next(found, None)
    record: SwapRecord | None = None
    if reason is None:
        try:
            record = swap(
                live,
                source,
                lr_owner=settings.lr_owner,
                carry=settings.carry_over,
                losses=list(statistics.recent),
                dry_run=() if report is None else report.losses,
                reach=statistics.reach or 0.0,
            )
        except (RuleFailed, SourceRejected) as error:
            reason = str(error)
        together.all_or_none(record is not None)
    if record is None:
        decision.verdict = "rolled_back"
        decision.reason = f"it was built, but could not go live: {reason}"
        return None
    return replace(record, by_itself=_by_itself(source, training))


def _by_itself(source: str, training: Training) -> tuple[int, ...]:
    """The steps until the next decision that move weights without a gradient."""
    settings, live = training.settings, training.live
    shapes = [each.shape for each in parameters_of(live.param_groups)]
    steps = min(settings.every or settings.steps_per_epoch or _MOST, _MOST)
    try:
        return steps_by_itself(source, shapes, steps)
    except (RuleFailed, SourceRejected) as error:
        log.debug("nothing is known of what it does by itself: %s", error)
        return ()
