"""Which rule of a run is the best: by validation loss, else by training loss."""

import math
from dataclasses import dataclass

from dux_agent.errors import DuxError
from dux_agent.run_history.records import DecisionStory, RunHistory


@dataclass(frozen=True)
class Best:
    """The best rule of a run, and why.

    Attributes:
        decision: whose rule it is.
        measure: "validation loss", "training loss", or "" where none is recorded.
        loss: the figure it was chosen by; NaN where there is none.
        when: when that was measured, in words.
    """

    decision: DecisionStory
    measure: str
    loss: float
    when: str


def best_rule(run: RunHistory) -> Best:
    """The rule under which the lowest loss was reached.

    The validation loss after an epoch belongs to the rule that was live at its end;
    where none was measured, the mean of the training losses under each rule counts.
    Rules that were rolled back do not take part. Of equal ones the later is taken.

    Raises:
        DuxError: no rule was live, or none still is what was applied.
    """
    live = live_rules(run)
    if not live:
        raise DuxError(
            f"{run.path} holds no rule to export: none of its {len(run.decisions)} "
            f"decisions was applied for good; one was wanted; `dux trace` says why."
        )
    by_validation = [
        Best(decision, "validation loss", epoch.val, f"after epoch {epoch.number}")
        for epoch in run.epochs
        for decision in [_live_at(run, epoch.step)]
        if decision in live and epoch.val is not None and math.isfinite(epoch.val)
    ]
    found = by_validation or _by_training(run, live)
    if not found:
        return Best(live[-1], "", math.nan, "")
    return min(reversed(found), key=lambda best: best.loss)


def live_rules(run: RunHistory) -> list[DecisionStory]:
    """The decisions whose rules went live and were not rolled back, by step."""
    live = [each for each in run.decisions if each.verdict == "applied" and each.digest]
    return sorted(live, key=lambda decision: (decision.decided_at, decision.number))


def _live_at(run: RunHistory, step: int) -> DecisionStory | None:
    """Whose rule took that step; None for the base optimizer."""
    found = None
    for decision in run.decisions:
        back = decision.rolled_back_at
        if decision.went_live and decision.decided_at < step <= (back or step):
            found = decision
    return found


def _by_training(run: RunHistory, live: list[DecisionStory]) -> list[Best]:
    losses: dict[int, list[float]] = {}
    for step, loss in run.losses:
        # The loss of a step is that before it was taken.
        decision = _live_at(run, step - 1)
        if decision is not None and math.isfinite(loss):
            losses.setdefault(decision.number, []).append(loss)
    return [
        Best(
            decision,
            "training loss",
            math.fsum(loss / len(seen) for loss in seen),
            f"mean of {len(seen)} steps",
        )
        for decision in live
        for seen in [losses.get(decision.number)]
        if seen
    ]
