"""How the live optimizer gets a running rule of a source."""

from __future__ import annotations

from collections.abc import Callable

from dux_sandbox.running import InlineRule, ParamGroups, RunningRule

RuleBuilder = Callable[[str, ParamGroups], RunningRule]
"""The rule of a source over the parameters of these groups. Raises RuleFailed or
SourceRejected."""


def build_inline(source: str, groups: ParamGroups) -> RunningRule:
    """A rule that runs in this process."""
    return InlineRule.build(source, groups)
