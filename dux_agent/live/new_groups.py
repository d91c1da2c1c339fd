"""Parameter groups that come or go while a rule is live.

Where one is added the rule is built anew over all; where one is taken away it gives way
to the base optimizer, as nothing that it learned fits any more.
"""

import logging
from collections.abc import Collection, Sequence
from typing import Any

from dux_agent.live.ending import end_all
from dux_agent.live.group_options import GroupsBefore, Options, options_of
from dux_agent.live.guard import Guard
from dux_agent.live.settling import shares
from dux_sandbox.findings import RuleFailed
from dux_sandbox.group_shares import share_out
from dux_sandbox.option_values import SCHEDULERS

log = logging.getLogger(__name__)


def add_group(guard: Guard, param_group: dict[str, Any]) -> None:
    """Add a parameter group behind the live rule; see `GuardedSlot.add_group`."""
    slot = guard.slot
    if slot.running is not slot.base_rule:
        guard.rule_state()  # one that cannot say is rolled back before anything changes
    given = set(param_group)
    slot.base.add_param_group(param_group)  # judges it; fills in the base's values
    meet_groups(guard, given)


def miss_groups(guard: Guard, known: Sequence[Options]) -> None:
    """Where the loop has taken groups out of the list, a generated rule gives way.

    Args:
        known: the groups that there were at the last look.
    """
    slot = guard.slot
    there = {id(group) for group in slot.param_groups}
    left = [index for index, group in enumerate(known) if id(group) in there]
    if len(left) == len(known):
        return
    first = zip(slot.param_groups, left, strict=False)
    if not all(group is known[index] for group, index in first):
        left = []  # they come in another order: none is what it was
    slot.schedule.leave_groups(left)
    slot.owned = [slot.owned[index] for index in left]
    if slot.running is not slot.base_rule:
        slot.base_options = [slot.base_options[index] for index in left]
        reason = "the loop took parameter groups away from the optimizer"
        log.warning("%s; its own optimizer goes on", reason)
        _fall_back(guard, GroupsBefore(slot.param_groups), reason, blame=False)


def meet_groups(guard: Guard, given: Collection[str] = ()) -> None:
    """The base optimizer has groups that the live rule does not step yet.

    A generated rule is built anew over all groups and gets its state back. Until the
    next swap its predecessor is the base optimizer.

    Args:
        given: names of options of the new groups that stay as they are; of others they
            get their share of the rule's.
    """
    slot = guard.slot
    groups, names = slot.param_groups, set(slot.base.defaults)
    known = len(slot.owned)
    # Of the schedule, a new group's rate is what the base optimizer was given.
    slot.schedule.meet_groups()
    if slot.running is slot.base_rule:
        slot.owned += [names & set(group) for group in groups[known:]]
        return
    bases = slot.base_predecessor.options[:known]
    learned = guard.rule_state()
    old, source = slot.running, slot.running.source
    if old is slot.base_rule or source is None:
        meet_groups(guard, given)  # fetching its state has rolled the rule back
        return
    references = slot.schedule.references[:known]
    slot.base_options = [*bases, *(options_of(each, names) for each in groups[known:])]
    slot.schedule.pause()
    before = GroupsBefore(groups)
    try:
        rule = slot.built_again(source, learned, old.closure_use)
    except RuleFailed as failed:
        _fall_back(guard, before, f"the rule failed: {failed.finding}")
        return
    owned = [set(each) for each in slot.owned]
    settled = share_out(rule.options, shares(slot))
    for index, group in list(enumerate(groups))[known:]:
        for name in names - set(rule.defaults) - {"lr"}:
            group.pop(name, None)
        for name, value in settled[index].items():
            if name not in given and name not in SCHEDULERS:
                group[name] = value
        references.append(slot.schedule.reference_for(index, group.get("lr")))
        owned.append(set(rule.defaults) & set(group))
    waited = guard.waiting
    slot.make_live(rule, owned, references)
    guard.arm(slot.base_predecessor, guard.snapshot())
    end_all(groups, old, waited)
    if waited is not None:
        guard.tell_lost("a parameter group was added")


def _fall_back(
    guard: Guard, before: GroupsBefore, reason: str, *, blame: bool = True
) -> None:
    """The rule cannot live over these groups: the base optimizer takes over."""
    slot = guard.slot
    old, waited = slot.running, guard.waiting
    base = slot.base_predecessor
    before.put_back()
    slot.owned += [set() for _ in slot.param_groups[len(slot.owned) :]]
    slot.give_way(base)
    guard.disarm()
    end_all(slot.param_groups, old, waited)
    guard.tell_rollback(old, reason, blame=blame)
    if waited is not None:
        guard.tell_lost("the parameter groups are others")
