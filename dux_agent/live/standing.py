"""A rule that waits behind the live one."""

from __future__ import annotations

from dataclasses import dataclass

from dux_agent.live.group_options import Options
from dux_agent.live.rates import References
from dux_sandbox.running import RunningRule


@dataclass
class Standing:
    """A rule that is not live and could be again.

    Attributes:
        rule: keeps its state itself while others are live.
        owned: per group, the names of the options that are its own.
        options: per group, their values when it was replaced.
        references: per group, what its rate is relative to; none for the base
            optimizer, whose rates are what the loop's schedule sets.
    """

    rule: RunningRule
    owned: list[set[str]]
    options: list[Options]
    references: References | None = None
