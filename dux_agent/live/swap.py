"""Puts a new rule behind the live optimizer, at the edge of a step, or does nothing.

The rule is built with its own defaults, which the model chose. Each group gets its
share of the rate and of the weight decay among them. Then the group dicts are changed
in place: the old rule's keys go, a scheduler's and the user's stay, its own come.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from dux_agent.choices import CarryOver, LrOwner
from dux_agent.live.carry_over import CarryRecord, after_a_first_step, carry_over
from dux_agent.live.ending import end
from dux_agent.live.group_options import (
    GroupsBefore,
    foreign_names,
    learning_rates,
    replace_options,
    unreadable,
)
from dux_agent.live.guarded_slot import GuardedSlot
from dux_agent.live.loss_bound import LossBound
from dux_agent.live.rates import References
from dux_agent.live.settling import references_of, settle
from dux_agent.live.untouched_rows import exemption
from dux_sandbox.findings import Finding, RuleFailed, SourceRejected
from dux_sandbox.option_values import SCHEDULERS
from dux_sandbox.running import RuleState, RunningRule, parameters_of
from dux_sandbox.versions import Versions


@dataclass(frozen=True)
class SwapRecord:
    """What a swap did, as the trace tells it.

    Attributes:
        digest: of the new rule.
        carry: what became of the old rule's state.
        learning_rates_before, learning_rates: of each group.
        rows_not_watched: why rows without gradients may move; "" where they may not.
        mode, unrecorded: of a rule that was to be recorded, where it runs, and why it
            is not recorded; None of others.
    """

    digest: str | None
    carry: CarryRecord
    learning_rates_before: list[float]
    learning_rates: list[float]
    rows_not_watched: str = ""
    mode: str | None = None
    unrecorded: str | None = None

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
    live.guard.settle()
    live.guard.follow()
    groups = live.param_groups
    live.schedule.prepare()
    snapshot, before = live.guard.snapshot(), GroupsBefore(groups)
    versions = Versions([*snapshot.parameters, *snapshot.buffers.live()])
    rates_before = learning_rates(groups)
    predecessor = live.as_predecessor()
    try:
        new = _built(live, source, lr_owner, carry, first_step)
    except BaseException:
        # Whatever it was, also an interrupt: the run goes on as if this rule had never
        # been tried.
        if live.running is predecessor.rule:
            snapshot.restore()
            versions.put_back()
            before.put_back()
            live.running.bind(groups, live.owned)
            live.schedule.follow(predecessor.references or [None] * len(groups))
        raise
    superseded = live.guard.waiting
    if superseded is not None:
        end(superseded, groups)
    snapshot.restore()  # what building the one and ending the other may have written
    versions.put_back()
    live.make_live(new.rule, new.owned, new.references)
    live.guard.arm(
        predecessor,
        snapshot,
        LossBound.of(losses, dry_run=dry_run, reach=reach),
        reach=reach,
        found=dry_run[0] if dry_run else None,
    )
    return SwapRecord(
        new.rule.digest,
        new.carried,
        rates_before,
        learning_rates(groups),
        exemption(source),
        *execution_of(new.rule),
    )


def execution_of(rule: RunningRule) -> tuple[str | None, str | None]:
    """`SwapRecord.mode` and `unrecorded` of a rule."""
    why = getattr(rule, "why", None)
    return getattr(rule, "mode", None), None if why is None else str(why)


@dataclass(frozen=True)
class _New:
    """A rule that is built and not live yet; the groups hold its options."""

    rule: RunningRule
    owned: list[set[str]]
    references: References
    carried: CarryRecord


def _built(
    live: GuardedSlot, source: str, lr_owner: LrOwner, carry: CarryOver, first: bool
) -> _New:
    """The rule of `source`, with the state that it gets and its options in the groups.

    Raises:
        SourceRejected, RuleFailed: as `swap`; the groups may have changed.
    """
    old, groups = live.running, live.param_groups
    learned = live.rule_state() if carry != "never" else RuleState()
    if live.running is not old:
        raise RuleFailed(_gone())
    rule = live.build(source, groups)
    try:
        settled = settle(live, rule.options, lr_owner)
        references = references_of(live, settled, lr_owner)
        owned = []
        for group, was, options in zip(groups, live.owned, settled, strict=True):
            foreign = foreign_names(group, set(live.base.defaults), was)
            own = set(options) - foreign - SCHEDULERS - unreadable(group, options)
            replace_options(group, was, {name: options[name] for name in own})
            owned.append(own)
        rule.bind(groups, owned)
        record = CarryRecord()
        if carry == "always" or (carry == "asked" and rule.carry):
            record = carry_over(learned, rule, groups)
        if first:
            trained = [each.requires_grad for each in parameters_of(groups)]
            after_a_first_step(rule, groups, trained.__getitem__)
    except BaseException:
        rule.close()
        raise
    return _New(rule, owned, references, record)


def rehearse(live: GuardedSlot, source: str) -> Finding | None:
    """Build the rule of `source` over the live groups, and let go of it again.

    Returns:
        What speaks against it; everything is bit for bit as it was in either case.
    """
    groups = live.param_groups
    snapshot, before = live.guard.snapshot(), GroupsBefore(groups)
    versions = Versions([*snapshot.parameters, *snapshot.buffers.live()])
    try:
        end(live.build(source, groups), groups)
    except SourceRejected as rejected:
        return rejected.report.findings[0]
    except RuleFailed as failed:
        return failed.finding
    finally:
        snapshot.restore()
        versions.put_back()
        before.put_back()
    return None


def _gone() -> Finding:
    return Finding("died", None, "the live rule failed while its state was fetched")
