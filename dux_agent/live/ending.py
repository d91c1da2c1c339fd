"""Ends rules that are no longer wanted, whatever they still do on their way out."""

from dux_agent.live.group_options import GroupsBefore
from dux_agent.live.snapshot import Snapshot
from dux_sandbox.global_modes import Modes
from dux_sandbox.running import ParamGroups, RunningRule


def end(rule: RunningRule, groups: ParamGroups) -> None:
    """Close a rule; groups and torch's modes are then as they were before.

    Generated code that ran here may have written to the weights meanwhile (the
    `finally` of a generator that it kept): put those back afterwards.
    """
    modes, before = Modes(), GroupsBefore(groups)
    rule.close()
    modes.restore()
    before.put_back()


def end_all(groups: ParamGroups, *rules: RunningRule | None) -> None:
    """Close rules that were live until now; weights and groups stay as they are."""
    wanted = [rule for rule in rules if rule is not None and rule.source is not None]
    here = any(rule.runs_here for rule in wanted)
    snapshot = Snapshot.take(groups, None) if here else None
    for rule in wanted:
        end(rule, groups)
    if snapshot is not None:
        snapshot.restore()
