"""Puts a new rule behind the live optimizer, at the edge of a step, or does nothing.

The rule is built with its own defaults, which the model chose. Each group gets its
share of the rate and of the weight decay among them. Then the group dicts are changed
in place: the old rule's keys go, a scheduler's and the user's stay, its own come.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from dux_agent.choices import CarryOver, LrOwner
from dux_agent.live.carry_over import CarryRecord, after_a_first_step, carry_over
from dux_agent.live.ending import end
from dux_agent.live.group_options import (
    foreign_names,
    held,
    learning_rates,
    put_back,
    replace_options,
    unreadable,
)
from dux_agent.live.guarded_slot import GuardedSlot
from dux_agent.live.loss_bound import LossBound
from dux_agent.live.settling import references_of, settle
from dux_agent.live.untouched_rows import exemption
from dux_sandbox.findings import Finding, RuleFailed, SourceRejected
from dux_sandbox.option_values import SCHEDULERS
from dux_sandbox.running import RuleState, RunningRule


@dataclass(frozen=True)
class SwapRecord:
    """What a swap did, as the trace tells it.

    Attributes:
        digest: of the new rule.
        carry: what became of the old rule's state.
        learning_rates_before, learning_rates: of each group.
        rows_not_watched: why rows without gradients may move; "" where they may not.
    """

    digest: str | None
    carry: CarryRecord
    learning_rates_before: list[float]
    learning_rates: list[float]
    rows_not_watched: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def swap(
    live: GuardedSlot,
    source: str,
    *,
    lr_owner: LrOwner = "proposal",
    carry: CarryOver = "asked",
    losses: Sequence[float] = (),
    dry_run: Sequence[float] = (),
    reach: float = 0.0,
    first_step: bool = False,
) -> SwapRecord:
    """Make the rule of `source` the live one and guard it.

    Args:
        live: changed in place; only between two steps.
        lr_owner: "proposal": the rule's own `lr` counts from now on, times what the
            loop's schedule sets over what it had set at the swap; "scheduler": where
            there is one, the rates that it sets are the rule's.
        carry: "asked": state is carried over where the class says `carry = True`.
        losses: of the interval before, newest last, for the guard's bounds.
        dry_run: the proposal's losses in its dry run.
        reach: the highest mean loss of the run so far.
        first_step: the rule begins with the state that a step on zero gradients makes.

    Raises:
        SourceRejected: the static check refuses the source.
        RuleFailed: it could not be built, or failed in that step.
            After either everything is bit for bit as it was.
    """
    live.meet_groups()
    live.guard.follow()
    groups = live.param_groups
    live.schedule.prepare()
    snapshot = live.guard.snapshot()
    before = [held(group) for group in groups]
    rates_before = learning_rates(groups)
    predecessor = live.as_predecessor()
    old = live.running
    rule: RunningRule | None = None
    try:
        wanted = carry == "always"
        learned = live.rule_state() if carry != "never" else RuleState()
        if live.running is not old:
            raise RuleFailed(_gone())
        rule = live.build(source, groups)
        settled = settle(live, rule.options, lr_owner)
        references = references_of(live, settled, lr_owner)
        owned_now = []
        for group, owned, options in zip(groups, live.owned, settled, strict=True):
            foreign = foreign_names(group, set(live.base.defaults), owned)
            own = set(options) - foreign - SCHEDULERS - unreadable(group, options)
            replace_options(group, owned, {name: options[name] for name in own})
            owned_now.append(own)
        rule.bind(groups, owned_now)
        record = CarryRecord()
        if wanted or (carry == "asked" and rule.carry):
            record = carry_over(learned, rule, groups)
        if first_step:
            after_a_first_step(rule, groups, lambda index: True)
    except Exception:
        # Whatever it was, the run goes on as if this rule had never been tried.
        if rule is not None:
            rule.close()
        if live.running is old:
            snapshot.restore()
            for group, was in zip(groups, before, strict=True):
                put_back(group, was)
            old.bind(groups, live.owned)
            live.schedule.follow(predecessor.references or [None] * len(groups))
        raise
    superseded = live.guard.waiting
    if superseded is not None:
        end(superseded, groups)
    snapshot.restore()  # what building the one and ending the other may have written
    live.make_live(rule, owned_now, references)
    made = SwapRecord(
        rule.digest,
        record,
        rates_before,
        learning_rates(groups),
        exemption(rule.source),
    )
    live.guard.arm(
        predecessor,
        snapshot,
        LossBound.of(losses, dry_run=dry_run, reach=reach),
        reach=reach,
    )
    return made


def rehearse(live: GuardedSlot, source: str) -> Finding | None:
    """Build the rule of `source` over the live groups, and let go of it again.

    Returns:
        What speaks against it; everything is bit for bit as it was in either case.
    """
    groups = live.param_groups
    snapshot = live.guard.snapshot()
    before = [held(group) for group in groups]
    try:
        end(live.build(source, groups), groups)
    except SourceRejected as rejected:
        return rejected.report.findings[0]
    except RuleFailed as failed:
        return failed.finding
    finally:
        snapshot.restore()
        for group, was in zip(groups, before, strict=True):
            put_back(group, was)
    return None


def _gone() -> Finding:
    return Finding("died", None, "the live rule failed while its state was fetched")
