"""Parameter groups that are added while a rule is live: it is built anew over all."""

from __future__ import annotations

from typing import Any

from dux_agent.live.ending import end_all
from dux_agent.live.group_options import (
    Held,
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


def add_group(live: DuxOptimizer, param_group: dict[str, Any]) -> None:
    """Add a parameter group behind the live optimizer; see `add_param_group`."""
    base, groups = live.base, live.param_groups
    if live.running is live.base_rule:
        base.add_param_group(param_group)
        live.owned.append(set(base.defaults) & set(param_group))
        return
    standing = live.base_standing
    learned = live.rule_state()
    old, source = live.running, live.running.source
    references = live.schedule.references
    if old is live.base_rule or source is None:
        add_group(live, param_group)  # fetching its state has rolled the rule back
        return
    given = {name: value for name, value in param_group.items() if name != "params"}
    base.add_param_group(param_group)  # judges the group; fills in the base's values
    group = groups[-1]
    live.set_base_options(
        [*standing.options, options_of(group, set(base.defaults) & set(group))]
    )
    # Of the schedule, the new group's rate is what the base optimizer was given.
    live.schedule.meet_groups()
    before = [held(each) for each in groups]
    try:
        rule = live.build(source, groups)
        rule.restore(learned)
        rule.closure_use = old.closure_use
    except RuleFailed as failed:
        _fall_back(live, before, f"the rule failed: {failed.finding}")
        return
    for name in set(base.defaults) - set(rule.defaults) - {"lr"}:
        group.pop(name, None)
    for name, value in share_out(rule.options, shares(live))[-1].items():
        if name not in given and name not in SCHEDULERS:
            group[name] = value
    references.append(live.schedule.reference_for(len(groups) - 1, group.get("lr")))
    owned = [*live.owned, set(rule.defaults) & set(group)]
    waited = live.guard.waiting
    live.make_live(rule, owned, references)
    live.guard.arm(live.base_standing, live.guard.snapshot())
    end_all(groups, old, waited)
    if waited is not None:
        live.guard.tell_lost("a parameter group was added")


def _fall_back(live: DuxOptimizer, before: list[Held], reason: str) -> None:
    """The rule cannot live over the new groups: the base optimizer takes over."""
    old, waited = live.running, live.guard.waiting
    standing = live.base_standing
    for group, was, due, owned in zip(
        live.param_groups, before, standing.options, [*live.owned, set()], strict=True
    ):
        put_back(group, was)
        give_back(group, owned=owned, incumbent=due, cycled=cycled_by(live.base))
    live.make_live(live.base_rule, standing.owned)
    live.guard.disarm()
    end_all(live.param_groups, old, waited)
    live.guard.tell_rollback(old, reason)
    if waited is not None:
        live.guard.tell_lost("a parameter group was added")
