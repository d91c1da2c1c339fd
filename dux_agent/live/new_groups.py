"""Parameter groups that come or go while a rule is live.

Where one is added the rule is built anew over all; where one is taken away it gives way
to the base optimizer, as nothing that it learned fits any more.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from typing import Any

from dux_agent.live.ending import end_all
from dux_agent.live.group_options import (
    Held,
    Options,
    cycled_by,
    give_back,
    held,
    options_of,
    put_back,
)
from dux_agent.live.optimizer import DuxOptimizer
from dux_agent.live.settling import shares
from dux_sandbox.findings import RuleFailed
from dux_sandbox.group_shares import share_out
from dux_sandbox.option_values import SCHEDULERS

log = logging.getLogger(__name__)


def add_group(live: DuxOptimizer, param_group: dict[str, Any]) -> None:
    """Add a parameter group behind the live optimizer; see `add_param_group`."""
    if live.running is not live.base_rule:
        live.rule_state()  # one that cannot say is rolled back before anything changes
    given = set(param_group)
    live.base.add_param_group(param_group)  # judges it; fills in the base's values
    meet_groups(live, given)


def miss_groups(live: DuxOptimizer, known: Sequence[Options]) -> None:
    """Where the loop has taken groups out of the list, a generated rule gives way.

    Args:
        known: the groups that there were at the last look.
    """
    there = {id(group) for group in live.param_groups}
    left = [index for index, group in enumerate(known) if id(group) in there]
    if len(left) == len(known):
        return
    first = zip(live.param_groups, left, strict=False)
    if not all(group is known[index] for group, index in first):
        left = []  # they come in another order: none is what it was
    live.schedule.leave_groups(left)
    live.owned = [live.owned[index] for index in left]
    if live.running is not live.base_rule:
        live.leave_base_options(left)
        reason = "the loop took parameter groups away from the optimizer"
        log.warning("%s; its own optimizer goes on", reason)
        before = [held(group) for group in live.param_groups]
        _fall_back(live, before, reason, blame=False)


def meet_groups(live: DuxOptimizer, given: Collection[str] = ()) -> None:
    """The base optimizer has groups that the live rule does not step yet.

    A generated rule is built anew over all groups and gets its state back. Until the
    next swap its incumbent is the base optimizer.

    Args:
        given: names of options of the new groups that stay as they are; of others they
            get their share of the rule's.
    """
    groups, names = live.param_groups, set(live.base.defaults)
    known = len(live.owned)
    # Of the schedule, a new group's rate is what the base optimizer was given.
    live.schedule.meet_groups()
    if live.running is live.base_rule:
        live.owned += [names & set(group) for group in groups[known:]]
        return
    bases = live.base_standing.options[:known]
    learned = live.rule_state()
    old, source = live.running, live.running.source
    if old is live.base_rule or source is None:
        meet_groups(live, given)  # fetching its state has rolled the rule back
        return
    references = live.schedule.references[:known]
    live.set_base_options(
        [*bases, *(options_of(each, names) for each in groups[known:])]
    )
    live.schedule.pause()
    before = [held(each) for each in groups]
    try:
        rule = live.build(source, groups)
        rule.restore(learned)
        rule.closure_use = old.closure_use
    except RuleFailed as failed:
        _fall_back(live, before, f"the rule failed: {failed.finding}")
        return
    owned = [set(each) for each in live.owned]
    settled = share_out(rule.options, shares(live))
    for index, group in list(enumerate(groups))[known:]:
        for name in names - set(rule.defaults) - {"lr"}:
            group.pop(name, None)
        for name, value in settled[index].items():
            if name not in given and name not in SCHEDULERS:
                group[name] = value
        references.append(live.schedule.reference_for(index, group.get("lr")))
        owned.append(set(rule.defaults) & set(group))
    waited = live.guard.waiting
    live.make_live(rule, owned, references)
    live.guard.arm(live.base_standing, live.guard.snapshot())
    end_all(groups, old, waited)
    if waited is not None:
        live.guard.tell_lost("a parameter group was added")


def _fall_back(
    live: DuxOptimizer, before: list[Held], reason: str, *, blame: bool = True
) -> None:
    """The rule cannot live over these groups: the base optimizer takes over."""
    old, waited = live.running, live.guard.waiting
    standing = live.base_standing
    new: list[set[str]] = [set()] * (len(before) - len(live.owned))
    for group, was, due, owned in zip(
        live.param_groups, before, standing.options, [*live.owned, *new], strict=False
    ):
        put_back(group, was)
        give_back(group, owned=owned, incumbent=due, cycled=cycled_by(live.base))
    live.make_live(live.base_rule, standing.owned)
    live.guard.disarm()
    end_all(live.param_groups, old, waited)
    live.guard.tell_rollback(old, reason, blame=blame)
    if waited is not None:
        live.guard.tell_lost("the parameter groups are others")
