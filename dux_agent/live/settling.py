"""What a rule's own option values become in each group: in a dry run, and live."""

from collections.abc import Sequence

from dux_agent.choices import LrOwner
from dux_agent.live.group_options import Options, cycle, cycled_by, options_of
from dux_agent.live.rates import References
from dux_agent.live.rule_slot import RuleSlot
from dux_sandbox.group_shares import Share, share_out, shares_of


def shares(live: RuleSlot) -> list[Share]:
    """Each group's part of a rule's rate and decay, as the user split them.

    Taken from the base optimizer's own values, so that a rule without one of the two,
    or any number of rules one after the other, lose nothing of it.
    """
    scheduled = [options_of(group, {"initial_lr"}) for group in live.param_groups]
    options = live.base_predecessor.options
    return shares_of(
        [{**each, **more} for each, more in zip(options, scheduled, strict=True)]
    )


def settle(
    live: RuleSlot, options: Sequence[Options], lr_owner: LrOwner
) -> list[Options]:
    """What each group gets of a rule's own option values, in a dry run and live.

    Where the schedule stands at zero, a rule tries in its dry run the rate that it has
    when the schedule reaches its base rate.

    Args:
        options: of each group, as the rule was built.
        lr_owner: "scheduler": a group whose rate is scheduled keeps what the schedule
            sets.
    """
    settled = []
    shared = share_out(options, shares(live))
    for index, (group, each) in enumerate(zip(live.param_groups, shared, strict=True)):
        each = cycle(each, group, cycled_by(live.base))
        if _keeps_rate(live, index, each, lr_owner):
            each["lr"] = live.schedule.own(index)
        settled.append(each)
    return settled


def references_of(
    live: RuleSlot, settled: Sequence[Options], lr_owner: LrOwner
) -> References:
    """What the rates of settled options are relative to from a swap on."""
    return [
        None
        if _keeps_rate(live, index, each, lr_owner)
        else live.schedule.reference_for(index, each.get("lr"))
        for index, each in enumerate(settled)
    ]


def _keeps_rate(
    live: RuleSlot, index: int, options: Options, lr_owner: LrOwner
) -> bool:
    own = live.schedule.own(index)
    return (
        lr_owner == "scheduler"
        and "lr" in options
        and own is not None
        and live.schedule.scheduled(index)
    )
