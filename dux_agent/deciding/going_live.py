"""Swaps in the source of a decision, on all ranks or on none."""

from dataclasses import replace

from dux_agent.deciding.together import Together
from dux_agent.decisions import Decision
from dux_agent.live.swap import SwapRecord, execution_of, rehearse, swap
from dux_agent.training.training import Training
from dux_sandbox.findings import DryRunReport, RuleFailed, SourceRejected


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

    def swapped() -> bool:
        nonlocal record, reason
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
        return record is not None

    if reason is None:
        together.all_or_none(swapped)
    if record is not None:
        together.same_execution()
        mode, unrecorded = execution_of(live.running)
        record = replace(record, mode=mode, unrecorded=unrecorded)
    if record is None:
        decision.verdict = "rolled_back"
        decision.reason = f"it was built, but could not go live: {reason}"
        return None
    return record
